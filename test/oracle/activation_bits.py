"""How many bits the activations before int4 weights need: activation_bits.py FOLDER GROUP TEXT [ROWS] [TOKENS]

Projections are rounded to nearest in symmetric groups of GROUP. Then activations are rounded too, to integers of some bits
with a scale of their own for each group of a row, as llm-drop's fast int4 kernels do with 8 (and llama.cpp with 8 in
groups of 32). Printed is how far the five best next-token log-probabilities are off those with float32 activations, the
furthest of the five, over the tokens of ROWS documents of TEXT (apart by <|endoftext|>, or a JSON object with a "text" a
line), and by how much the loss is.
"""
import json
import re
import sys

import torch
import transformers


def rounded(x, levels, group):
    """Nearest of -levels..levels times a scale, for each group along the last axis."""
    width = x.shape[-1]
    parts = torch.nn.functional.pad(x, (0, -width % group)).unflatten(-1, (-1, group))
    scale = parts.abs().amax(-1, keepdim=True).clamp_min(1e-30) / levels
    return ((parts / scale).round() * scale).flatten(-2)[..., :width]


def int4(weight, group):
    """Symmetric, float16 scales."""
    parts = weight.unflatten(-1, (-1, group))
    scale = (parts.abs().amax(-1, keepdim=True) / 7).half().float().clamp_min(2**-24)
    return ((parts / scale).round().clamp(-8, 7) * scale).flatten(-2)


def documents(path):
    text = open(path).read()
    if path.endswith(".jsonl"):
        return [json.loads(line)["text"] for line in text.splitlines()]
    return [part.strip() for part in text.split("<|endoftext|>")]


def main():
    folder, group, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rows, length = (int(value) for value in (sys.argv[4:] + ["8", "64"][len(sys.argv[4:]) :]))
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    how = None

    def before(module, inputs):
        return (rounded(inputs[0], *how),) + inputs[1:] if how else inputs

    found = 0
    for name, module in model.named_modules():
        if re.search(r"\.(q|k|v|o|gate|up|down)_proj$", name):
            module.weight.data = int4(module.weight.data, group)
            module.register_forward_pre_hook(before)
            found += 1
    if not found:
        sys.exit(f"{folder}: no projection by a known name")
    sequences = [tokenizer(text, return_tensors="pt").input_ids[:, :length] for text in documents(path)[:rows]]

    def run():
        with torch.no_grad():
            return [torch.log_softmax(model(ids).logits[0].double(), -1) for ids in sequences]

    def loss(found):
        targets = [-of[:-1].gather(-1, ids[0, 1:, None]).flatten() for of, ids in zip(found, sequences)]
        return torch.cat(targets).mean().item()

    expected = run()
    print("| bits | group | five best off by, mean | 99 of 100 within | at most | tokens over 0.05 | loss off by |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for bits, size in dict.fromkeys([(8, group), (8, 32), (9, group), (10, group), (11, group), (12, group)]):
        how = (2 ** (bits - 1) - 1, size)
        found = run()
        off = []
        for a, b in zip(found, expected):
            best = b.topk(5, -1).indices
            off.append((a.gather(-1, best) - b.gather(-1, best)).abs().amax(-1))
        off = torch.cat(off)
        print(
            f"| {bits} | {size} | {off.mean():.3f} | {off.quantile(0.99):.3f} | {off.max():.3f} "
            f"| {100 * (off > 0.05).double().mean():.0f} % | {loss(found) - loss(expected):+.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
