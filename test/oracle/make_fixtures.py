#!/usr/bin/env python3
"""Makes test/fixtures/cases: tiny random checkpoints and what Hugging Face transformers computes with them. In
test/fixtures/examples are those of families that only docs/add-a-family.md adds.

A case is a checkpoint folder as `save_pretrained` writes it, with two more files:

expected.safetensors   (L layers, B sequences, T tokens, V vocabulary, G generated; float32, eager attention)
  input_ids       [B, T] int64
  logits          [B, T, V]   of the whole model
  attn_cos        [L]         mean over tokens of cos(x, x + attention(norm(x))), x the residual stream
  mlp_cos         [L]         the same for the MLP or the mixture of experts
  attn_cos_bare   [L]         mean over tokens of cos(norm(x), attention(norm(x)))
  mlp_cos_bare    [L]
  block_cos       [L, L]      [i, g - 1] is the mean of cos(h_i, h_{i+g}), h_i the input of block i; -inf past the end
  dropped_logits  [B, T, V]   without the modules of expected.json's lists
  greedy          [B, G] int64, what the dropped model continues with
expected.json          drop_attn_list, drop_mlp_list, seed, versions

Runs with the versions in `VERSIONS` only: others may round, name or store differently.

usage: make_fixtures.py [OUT_DIR]      (default: test/fixtures of this checkout)
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.functional import cosine_similarity
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    SeedOssConfig,
    SeedOssForCausalLM,
)

VERSIONS = {"torch": "2.13.0+cpu", "transformers": "5.18.0"}
SEQUENCES, TOKENS, GENERATED = 2, 20, 6

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def shape(**changes):
    base = dict(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=32,
        vocab_size=64,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
    )
    return {**base, **changes}


# name: (model, seed, dropped attentions, dropped MLPs, how it is stored)
CASES = {
    "llama": (
        lambda: LlamaForCausalLM(
            LlamaConfig(
                **shape(num_attention_heads=4, num_key_value_heads=2),
                tie_word_embeddings=True,
                rope_theta=500000.0,
                rope_scaling=dict(LLAMA3_ROPE),
            )
        ),
        11,
        [1],
        [2],
        {},
    ),
    "mistral": (
        lambda: MistralForCausalLM(MistralConfig(**shape(vocab_size=66), sliding_window=7, rope_theta=10000.0)),
        22,
        [0, 2],
        [1],
        {},
    ),
    "mixtral": (
        lambda: MixtralForCausalLM(
            MixtralConfig(
                **shape(hidden_size=16, num_attention_heads=2, head_dim=None, intermediate_size=16),
                num_local_experts=4,
                num_experts_per_tok=2,
                sliding_window=None,
                rope_theta=1e6,
            )
        ),
        13,
        [2],
        [0],
        {},
    ),
    "llama-v4-bf16-sharded": (
        lambda: LlamaForCausalLM(
            LlamaConfig(
                **shape(hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40, vocab_size=80),
                tie_word_embeddings=False,
                rope_theta=10000.0,
                rope_scaling=dict(LLAMA3_ROPE),
            )
        ),
        14,
        [0, 1],
        [1],
        {"dtype": torch.bfloat16, "shard": "24KB", "v4": True},
    ),
}

EXAMPLES = {
    "seed-oss": (
        lambda: SeedOssForCausalLM(SeedOssConfig(**shape(num_attention_heads=4, num_key_value_heads=2), rope_theta=1e4)),
        15,
        [1],
        [0],
        {},
    ),
}


def randomise(model, seed, dtype):
    """Weights large enough that every one of them is seen in the logits, each exact in the stored type."""
    torch.manual_seed(seed)
    for name, weight in model.named_parameters():
        spread = 0.3 if weight.ndim > 1 else 0.2
        weight.copy_((torch.randn_like(weight) * spread + (1 if "norm" in name else 0)).to(dtype).float())


class Traces:
    """What went into and came out of each module of interest, by name, in one run."""

    def __init__(self, model):
        self.of = {}
        self.handles = []
        for i, layer in enumerate(model.model.layers):
            modules = {
                "block": layer,
                "attn_norm": layer.input_layernorm,
                "attn": layer.self_attn,
                "mlp_norm": layer.post_attention_layernorm,
                "mlp": layer.mlp,
            }
            for name, module in modules.items():
                self.handles.append(module.register_forward_hook(self.recorder((name, i)), with_kwargs=True))

    def recorder(self, key):
        def hook(_module, args, kwargs, output):
            entered = args[0] if args else kwargs["hidden_states"]
            self.of[key] = (entered, output[0] if isinstance(output, tuple) else output)

        return hook

    def close(self):
        for handle in self.handles:
            handle.remove()


def mean_cosine(a, b):
    return cosine_similarity(a, b, dim=-1).mean()


def similarities(traces, layers):
    scores = {}
    for kind in ("attn", "mlp"):
        streams = [traces.of[f"{kind}_norm", i] for i in range(layers)]
        deltas = [traces.of[kind, i][1] for i in range(layers)]
        scores[f"{kind}_cos"] = torch.stack([mean_cosine(x, x + d) for (x, _), d in zip(streams, deltas)])
        scores[f"{kind}_cos_bare"] = torch.stack([mean_cosine(n, d) for (_, n), d in zip(streams, deltas)])
    states = [traces.of["block", i][0] for i in range(layers)] + [traces.of["block", layers - 1][1]]
    scores["block_cos"] = torch.full((layers, layers), -torch.inf)
    for i in range(layers):
        for gap in range(1, layers - i + 1):
            scores["block_cos"][i, gap - 1] = mean_cosine(states[i], states[i + gap])
    return scores


def silence(model, attentions, mlps):
    """A dropped module adds nothing to the residual stream: its result is replaced by zeros."""
    for i in attentions:
        model.model.layers[i].self_attn.register_forward_hook(lambda _m, _a, out: (torch.zeros_like(out[0]), *out[1:]))
    for i in mlps:
        model.model.layers[i].mlp.register_forward_hook(lambda _m, _a, out: torch.zeros_like(out))


def save(model, folder, dtype=torch.float32, shard="5GB", v4=False):
    """`v4` writes config.json's keys as transformers 4 did."""
    state = {name: value.to(dtype) for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state, max_shard_size=shard)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if v4:
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope
        config.pop("dtype", None)
        config["torch_dtype"] = str(dtype).removeprefix("torch.")
        config["transformers_version"] = "4.46.0"
    path.write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)


def stored(folder):
    parts = [load_file(part) for part in sorted(folder.glob("model*.safetensors"))]
    return {name: value for part in parts for name, value in part.items()}


def make(name, case, out):
    build, seed, attentions, mlps, storing = case
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    model = build().float().eval()
    randomise(model, seed, storing.get("dtype", torch.float32))
    layers = model.config.num_hidden_layers
    ids = torch.randint(0, model.config.vocab_size, (SEQUENCES, TOKENS), generator=torch.Generator().manual_seed(seed))

    traces = Traces(model)
    expected = {"input_ids": ids, "logits": model(ids, use_cache=False).logits}
    traces.close()
    expected |= similarities(traces, layers)
    save(model, folder, **storing)

    silence(model, attentions, mlps)
    expected["dropped_logits"] = model(ids, use_cache=False).logits
    continued, margin = ids, torch.inf
    for _ in range(GENERATED):
        last = model(continued, use_cache=False).logits[:, -1]
        best = last.topk(2).values
        margin = min(margin, (best[:, 0] - best[:, 1]).min().item())
        continued = torch.cat([continued, last.argmax(-1, keepdim=True)], dim=1)
    expected["greedy"] = continued[:, TOKENS:]

    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")
    about = dict(name=name, seed=seed, drop_attn_list=attentions, drop_mlp_list=mlps, **VERSIONS)
    (folder / "expected.json").write_text(json.dumps(about, indent=2) + "\n")

    largest = max(value.float().abs().max().item() for value in stored(folder).values())
    size = sum(file.stat().st_size for file in folder.iterdir())
    changed = (expected["dropped_logits"] - expected["logits"]).abs().max().item()
    print(f"{name}: {size / 1024:.0f} KB, {len(stored(folder))} tensors up to {largest:.2f}, "
          f"logits up to {expected['logits'].abs().max():.2f}, the drop changes them by {changed:.2f}; "
          f"greedy is decided by {margin:.3f} or more")


def main():
    found = {"torch": torch.__version__, "transformers": transformers.__version__}
    if found != VERSIONS:
        sys.exit(f"these fixtures are made with {VERSIONS}, but here is {found}")
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "fixtures"
    torch.set_grad_enabled(False)
    transformers.utils.logging.disable_progress_bar()
    for kind, cases in {"cases": CASES, "examples": EXAMPLES}.items():
        for name, case in cases.items():
            make(name, case, out / kind)


if __name__ == "__main__":
    main()
