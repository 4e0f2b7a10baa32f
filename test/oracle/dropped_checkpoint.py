#!/usr/bin/env python3
"""What transformers computes with a checkpoint that `llm-drop drop` wrote, to compare with our own logits.

transformers has no dropped modules, so the checkpoint is made whole first: tensors that a dropped module left out are
zeros of the original's shape, and the module's output projection (o_proj, down_proj, every expert's w2) is zeros too,
present or not. Then the module adds exactly nothing, as if it were not there. The result runs in float32, eager.

usage: dropped_checkpoint.py MODEL_DIR DROPPED_DIR TOKENS.json OUT.safetensors
       dropped_checkpoint.py MODEL_DIR DROPPED_DIR TOKENS.json --compare OURS.safetensors

MODEL_DIR    the checkpoint before the drop (for names and shapes)
DROPPED_DIR  what was written: config.json with drop_attn_list and drop_mlp_list, weights with or without the dropped
TOKENS.json  [[id, ...], ...], sequences of one length
OUT          gets `logits`, float32 [sequences, tokens, vocabulary]; OURS holds the same

--compare prints the largest difference relative to the largest |logit| and exits 1 where it is above 1e-4.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4  # float32 sums in another order, over all layers

MODULES = {
    "attn": (r"self_attn\.|input_layernorm\.", r"self_attn\.o_proj\."),
    "mlp": (
        r"mlp\.|block_sparse_moe\.|post_attention_layernorm\.|pre_feedforward_layernorm\.",
        r"(mlp|block_sparse_moe)\..*?(down_proj|w2)(\.|$)",
    ),
}


def tensors(folder):
    files = sorted(Path(folder).glob("model*.safetensors"))
    if not files:
        sys.exit(f"{folder} holds no model*.safetensors")
    return {name: value for file in files for name, value in load_file(file).items()}


def shapes(folder):
    found = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        with safe_open(file, "pt") as opened:
            found |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}
    return found


def dropped(config, key):
    """Layer indices; a boolean list counts by position, as LLM-Drop writes both."""
    return {i if flag is True else flag for i, flag in enumerate(config.get(key) or []) if flag is not False}


def whole(model, folder, config):
    """All tensors of the original's names, the dropped modules' silenced."""
    kept = tensors(folder)
    original = shapes(model)
    lists = {"attn": dropped(config, "drop_attn_list"), "mlp": dropped(config, "drop_mlp_list")}
    strangers = kept.keys() - original.keys()
    if strangers:
        sys.exit(f"{folder} holds tensors that {model} has not: {', '.join(sorted(strangers)[:5])}")
    result, left_out = {}, 0
    for name, shape in original.items():
        layer, rest = re.fullmatch(r"(?:.*\.layers\.(\d+)\.)?(.*)", name).groups()
        silenced = unneeded = False
        for kind, (module, output) in MODULES.items():
            if layer is not None and int(layer) in lists[kind]:
                unneeded = unneeded or re.match(module, rest) is not None
                silenced = silenced or re.match(output, rest) is not None
        if name not in kept and not unneeded:
            sys.exit(f"{folder} lacks {name}, which no drop list explains")
        if name in kept and tuple(kept[name].shape) != shape:
            sys.exit(f"{name} is {list(kept[name].shape)} in {folder}, but {list(shape)} in {model}")
        left_out += name not in kept
        result[name] = torch.zeros(shape) if silenced or name not in kept else kept[name].float()
    print(f"attentions {sorted(lists['attn'])} and MLPs {sorted(lists['mlp'])} dropped, {left_out} tensors left out")
    return result


def logits(model, folder, tokens):
    config = json.loads((Path(folder) / "config.json").read_text())
    with tempfile.TemporaryDirectory() as temporary:
        save_file(whole(model, folder, config), Path(temporary) / "model.safetensors", metadata={"format": "pt"})
        plain = {k: v for k, v in config.items() if k not in ("drop_attn_list", "drop_mlp_list", "auto_map")}
        (Path(temporary) / "config.json").write_text(json.dumps(plain))
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            temporary, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        with torch.no_grad():
            return loaded(torch.tensor(tokens), use_cache=False).logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dropped")
    parser.add_argument("tokens")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--compare", metavar="OURS")
    options = parser.parse_args()
    if (options.out is None) == (options.compare is None):
        parser.error("name either OUT.safetensors or --compare OURS.safetensors")
    transformers.utils.logging.disable_progress_bar()
    theirs = logits(options.model, options.dropped, json.loads(Path(options.tokens).read_text()))
    if options.out:
        save_file({"logits": theirs.contiguous()}, options.out)
        return
    ours = load_file(options.compare)["logits"].float()
    if ours.shape != theirs.shape:
        sys.exit(f"logits are {list(ours.shape)} in {options.compare}, but {list(theirs.shape)} in transformers")
    difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"largest difference {difference:.2e} of the largest |logit| ({TOLERANCE:.0e} allowed)")
    sys.exit(0 if difference <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
