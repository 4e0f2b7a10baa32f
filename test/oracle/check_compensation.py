#!/usr/bin/env python3
"""Shows that `llm-drop compensate` refits what PyTorch, in float64, refits by the same closed form.

Drops modules of a checkpoint with the built command, refits with it, and computes the refit again from the
specification: transformers runs whole passes in float64 for every projection, everything is in memory, NumPy solves.

  D = R'Z (Z'Z + lambda I)^-1,  R = t - r - W z,  lambda = alpha * mean diag(Z'Z)

z enters the output projection W, r is the residual that it is added to, t the whole model's stream behind the dropped
modules that follow.

usage: check_compensation.py [MODEL_DIR]     (default: models/tiny-stories of this checkout, which must be built)

On a float32 copy of the model all weights agree within 1e-4 of the largest (activations of llm-drop are float32). On the
model as it is, refit weights are rounded to its type: one refit agrees within one step of it. (After several, what was
rounded to the other side early on changes all later fits by more than a step.)
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
SAMPLES, LENGTH = 4, 96
ROUNDED = dict(attention=[3], mlp=[], mode="neighbour", alpha=1.0)
CASES = [
    dict(attention=[3, 7], mlp=[], mode="neighbour", alpha=1.0),
    dict(attention=[3, 7], mlp=[5], mode="all", alpha=1.0),
    dict(attention=[0, 4], mlp=[3, 4], mode="all", alpha=0.1),
]


def packed_rows(folder, text):
    """Documents without special tokens, each followed by EOS, cut into rows."""
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    settings = json.loads((Path(folder) / "tokenizer_config.json").read_text())
    end = settings["eos_token"]
    eos = tokenizer.token_to_id(end if isinstance(end, str) else end["content"])
    ids = []
    for document in Path(text).read_text(encoding="utf-8").split("<|endoftext|>"):
        if document.strip():
            ids += [*tokenizer.encode(document.strip(), add_special_tokens=False).ids, eos]
        if len(ids) >= SAMPLES * LENGTH:
            break
    return torch.tensor(ids[: SAMPLES * LENGTH]).reshape(SAMPLES, LENGTH)


def projection(layer, kind):
    return layer.self_attn.o_proj if kind == "attention" else layer.mlp.down_proj


class Streams:
    """Passes over all rows: the stream behind each module, and what enters its output projection."""

    def __init__(self, model):
        self.model, self.dropped, self.seen = model, set(), {}
        for i, layer in enumerate(model.model.layers):
            layer.self_attn.register_forward_hook(lambda m, args, out, i=i: self.silence(("attention", i), out))
            layer.mlp.register_forward_hook(lambda m, args, out, i=i: self.silence(("mlp", i), out))
            for kind in ("attention", "mlp"):
                projection(layer, kind).register_forward_pre_hook(
                    lambda m, args, key=(kind, i): self.keep("input", key, args[0])
                )
            layer.post_attention_layernorm.register_forward_pre_hook(
                lambda m, args, i=i: self.keep("after", ("attention", i), args[0])
            )
            layer.register_forward_hook(
                lambda m, args, out, i=i: self.keep("after", ("mlp", i), out[0] if isinstance(out, tuple) else out)
            )

    def silence(self, key, out):
        if key not in self.dropped:
            return None
        return (torch.zeros_like(out[0]), *out[1:]) if isinstance(out, tuple) else torch.zeros_like(out)

    def keep(self, what, key, value):
        self.seen[what, key] = value.detach().reshape(-1, value.shape[-1]).numpy().copy()

    def run(self, rows, dropped):
        self.dropped, self.seen = dropped, {}
        with torch.no_grad():
            self.model(rows, use_cache=False)
        return self.seen


def refit(model, rows, case, dtype):
    """The tensors that change, by name, as float64."""
    streams = Streams(model)
    dropped = {(kind, i) for kind in ("attention", "mlp") for i in case[kind]}
    whole = streams.run(rows, set())
    order = [(kind, i) for i in range(len(model.model.layers)) for kind in ("attention", "mlp")]
    stays = [at for at, key in enumerate(order) if key not in dropped]
    begun, changed = order[0] in dropped, {}
    for at, behind in zip(stays, [*stays[1:], len(order)]):
        begun = begun or behind > at + 1
        if not (begun if case["mode"] == "all" else behind > at + 1):
            continue
        kind, i = key = order[at]
        seen = streams.run(rows, dropped)
        z, residual = seen["input", key], whole["after", order[behind - 1]] - seen["after", key]
        gram = z.T @ z
        lam = case["alpha"] * np.mean(np.diag(gram))
        change = np.linalg.solve(gram + lam * np.eye(len(gram)), z.T @ residual).T
        weight = projection(model.model.layers[i], kind).weight
        with torch.no_grad():
            # Rounded as the file holds it, so that what follows corrects the rounding, too.
            weight.copy_((weight + torch.from_numpy(change)).float().to(dtype).double())
        name = "self_attn.o_proj" if kind == "attention" else "mlp.down_proj"
        changed[f"model.layers.{i}.{name}.weight"] = weight.detach().clone()
    return changed


def llm_drop(*argv):
    done = subprocess.run(
        ["node", str(ROOT / "dist/cli/main.js"), *map(str, argv), "--json"], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)


def check(folder, case, work):
    text = Path(folder).parent / "calibration.txt"
    lists = [arg for kind, flag in (("attention", "--drop-attn"), ("mlp", "--drop-mlp")) if case[kind]
             for arg in (flag, ",".join(map(str, case[kind])))]
    llm_drop("drop", folder, *lists, "--out", work / "dropped", "--overwrite")
    llm_drop("compensate", work / "dropped", "--base", folder, "--mode", case["mode"], "--alpha", case["alpha"],
             "--calibration", text, "--samples", SAMPLES, "--length", LENGTH, "--held-out", 1,
             "--out", work / "refit", "--overwrite")
    before, ours = load_file(work / "dropped/model.safetensors"), load_file(work / "refit/model.safetensors")
    dtype = next(iter(ours.values())).dtype
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    theirs = refit(model, packed_rows(folder, text), case, dtype)
    strangers = {name for name in ours if not torch.equal(ours[name], before[name])} ^ theirs.keys()
    if strangers:
        sys.exit(f"these are refit on one side only: {', '.join(sorted(strangers))}")
    worst, differ, moved = 0.0, 0, 0.0
    for name, expected in theirs.items():
        difference = (ours[name].double() - expected).abs()
        # A step of bfloat16 is up to 2^-7 of the value, one of float16 2^-10; float32's is nothing beside 1e-4.
        step = 0 if dtype == torch.float32 else expected.abs() * torch.finfo(dtype).eps
        largest = expected.abs().max()
        worst = max(worst, ((difference - step).clamp(min=0).max() / largest).item())
        differ += (difference > 0).sum().item() / sum(t.numel() for t in theirs.values())
        moved = max(moved, ((before[name].double() - expected).abs().max() / largest).item())
    share = "" if dtype == torch.float32 else f", {100 * differ:.2f}% of the values one step apart"
    print(f"{case}, {dtype}: {len(theirs)} projections moved by up to {moved:.1e} of the largest weight, "
          f"off by {worst:.1e}{share} (1e-4 allowed)")
    return worst <= 1e-4 and moved > 1e-2 and (dtype == torch.float32 or differ < 0.05)


def main():
    source = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "models/tiny-stories")
    transformers.utils.logging.disable_progress_bar()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "calibration.txt").write_bytes((source / "calibration.txt").read_bytes())
        tensors = load_file(source / "model.safetensors")
        for name, convert, cases in (("float32", torch.Tensor.float, CASES), ("as-it-is", lambda t: t, [ROUNDED])):
            (work / name).mkdir()
            for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
                (work / name / file).write_bytes((source / file).read_bytes())
            save_file({k: convert(v).contiguous() for k, v in tensors.items()}, work / name / "model.safetensors",
                      metadata={"format": "pt"})
            for case in cases:
                good = check(work / name, case, work) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
