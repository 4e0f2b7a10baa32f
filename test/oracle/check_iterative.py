#!/usr/bin/env python3
"""Iterative drop, re-computed with transformers: every round scored on the model as dropped so far.

Tokenizes the text, runs the rows and ranks the modules here, with nothing of llm-drop's, and then compares with what
`llm-drop drop --iterations` printed: every round's scores within TOLERANCE, every round's list equal. A dropped module
adds zeros to the residual stream; what remains of its layer runs, and is scored.

usage: check_iterative.py MODEL_DIR TEXT.txt [MODEL_DIR TEXT.txt]...

A MODEL_DIR without a tokenizer gets one that takes single characters, and the text loses all others.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tokenizers
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
SEPARATOR = "<|endoftext|>"
TOLERANCE = 1e-5  # float32 sums in another order, over all layers; means of cosines, which are at most 1
SAMPLES, LENGTH = 6, 48
CHARACTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list(" .,\n")


def text_rows(folder, text):
    """Rows as LLM-Drop packs them: documents without special tokens, EOS after each, cut (docs/formats.md, 'Calibration rows')."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    eos = json.loads((folder / "tokenizer_config.json").read_text())["eos_token"]
    eos = tokenizer.token_to_id(eos if isinstance(eos, str) else eos["content"])
    ids = []
    for document in map(str.strip, text.read_text().split(SEPARATOR)):
        if document:
            ids += [*tokenizer.encode(document, add_special_tokens=False).ids, eos]
    assert len(ids) > (SAMPLES + 1) * LENGTH, f"{text} is too short"
    return torch.tensor(ids[: SAMPLES * LENGTH]).reshape(SAMPLES, LENGTH)


def with_characters(model, text, to):
    """A copy of the folder with a tokenizer of single characters, and the text in them."""
    to.mkdir()
    for file in model.iterdir():
        (to / file.name).symlink_to(file.resolve())
    vocabulary = {token: id for id, token in enumerate(["</s>", *CHARACTERS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(to / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}
    (to / "tokenizer_config.json").write_text(json.dumps(config))
    documents = text.read_text()[:20_000].split(SEPARATOR)
    kept = ("".join(c for c in document.lower() if c in CHARACTERS) for document in documents)
    (to / "text.txt").write_text(SEPARATOR.join(kept))
    return to, to / "text.txt"


class Dropped:
    """A model of transformers, some of whose modules add nothing."""

    def __init__(self, folder):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.layers = self.model.model.layers
        self.gone = {"attention": set(), "mlp": set()}

    def modules(self, layer):
        """By kind: the module, and the norm before it, which the residual stream enters."""
        return {
            "attention": (layer.self_attn, layer.input_layernorm),
            "mlp": (layer.mlp, layer.post_attention_layernorm),
        }

    @torch.no_grad()
    def scores(self, rows):
        """Mean cosines over all tokens: of what enters and leaves each module, and of both ends of each block."""
        sums = {kind: [0.0] * len(self.layers) for kind in ("attention", "mlp", "block")}

        def add(kind, index, a, b):
            cosines = torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1, eps=1e-8)
            sums[kind][index] += cosines.sum().item()

        hooks = []
        for index, layer in enumerate(self.layers):
            for kind, (module, norm) in self.modules(layer).items():
                entered = {}

                def enter(_norm, inputs, entered=entered):
                    entered["x"] = inputs[0]

                def leave(_module, _inputs, output, kind=kind, index=index, entered=entered):
                    y = output[0] if isinstance(output, tuple) else output
                    if index in self.gone[kind]:
                        y = torch.zeros_like(y)
                    add(kind, index, entered["x"], entered["x"] + y)
                    return (y, *output[1:]) if isinstance(output, tuple) else y

                hooks += [norm.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

            def block(_layer, inputs, output, index=index):
                add("block", index, inputs[0], output[0] if isinstance(output, tuple) else output)

            hooks.append(layer.register_forward_hook(block))
        for row in rows:
            self.model(row[None], use_cache=False)
        for hook in hooks:
            hook.remove()
        return {kind: [value / rows.numel() for value in values] for kind, values in sums.items()}

    def choose(self, scores, target, count):
        """The most similar that are still there, the lower index first among equals."""
        kinds = {"joint": ["attention", "mlp"]}.get(target, [target])
        gone = {**self.gone, "block": self.gone["attention"] & self.gone["mlp"]}
        open_ = [(kind, i) for kind in kinds for i in range(len(self.layers)) if i not in gone[kind]]
        open_.sort(key=lambda module: -scores[module[0]][module[1]])
        chosen = {"attention": set(), "mlp": set()}
        for kind, index in open_[:count]:
            for part in ("attention", "mlp") if kind == "block" else (kind,):
                chosen[part].add(index)
        margin = scores[open_[count - 1][0]][open_[count - 1][1]] - scores[open_[count][0]][open_[count][1]]
        return {kind: sorted(indices) for kind, indices in chosen.items()}, margin


def check(folder, text, target, count, iterations, work):
    out = work / f"{target}-{count}-{iterations}"
    command = [*("node", ROOT / "dist/cli/main.js", "drop", folder, "--calibration", text, "--target", target)]
    command += ["--count", count, "--iterations", iterations, "--samples", SAMPLES, "--length", LENGTH]
    command += ["--held-out", 1, "--out", out, "--json"]
    ours = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
    rows = text_rows(folder, text)
    theirs = Dropped(folder)
    largest, least, lists = 0.0, float("inf"), []
    assert len(ours["rounds"]) == iterations
    for number, found in enumerate(ours["rounds"]):
        share = count * (number + 1) // iterations - count * number // iterations
        scores = theirs.scores(rows)
        for kind, values in found["importance"]["similarity"].items():
            if kind in scores:  # llm-drop gives null where nothing is left
                pairs = [(a, b) for a, b in zip(values, scores[kind], strict=True) if a is not None]
                largest = max([largest, *(abs(a - b) for a, b in pairs)])
        drops, margin = theirs.choose(scores, target, share)
        lists.append(drops)
        least = min(least, margin)
        if found["drops"] != drops:
            sys.exit(f"{target}, round {number + 1}: llm-drop drops {found['drops']}, transformers {drops}")
        for kind, indices in drops.items():
            theirs.gone[kind] |= set(indices)
    for kind in theirs.gone:
        if sorted(ours["drop"][kind]) != sorted(theirs.gone[kind]):
            sys.exit(f"{target}: llm-drop drops {ours['drop']} in the end, transformers {theirs.gone}")
    if largest > TOLERANCE:
        sys.exit(f"{target}: scores differ by {largest:.2e} ({TOLERANCE:.0e} allowed)")
    return lists, largest, least


def main():
    given = sys.argv[1:]
    if not given or len(given) % 2:
        sys.exit(__doc__)
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(2)
    for model, text in zip(map(Path, given[::2]), map(Path, given[1::2])):
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(temporary)
            folder = model
            if not (model / "tokenizer.json").exists():
                folder, text = with_characters(model, text, work / "model")
            layers = json.loads((model / "config.json").read_text())["num_hidden_layers"]
            some, most = (2, 4) if layers < 5 else (layers // 2, layers)
            for target, count, iterations in [
                ("attention", some, 2),
                ("mlp", 2, 2),
                ("joint", most, 3),
                ("block", 2, 2),
            ]:
                lists, largest, least = check(folder, text, target, count, iterations, work)
                texts = "; ".join(" ".join(f"{k} {v}" for k, v in drops.items() if v) for drops in lists)
                print(
                    f"{model.name}, {target} {count} in {iterations} rounds: {texts} "
                    f"(scores within {largest:.1e}, decided by {least:.1e} or more)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
