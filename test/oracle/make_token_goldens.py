#!/usr/bin/env python3
"""Makes test/fixtures/tokenizer/goldens.json: what Hugging Face's tokenizers and SentencePiece make of texts.

Runs with tokenizers 0.23.3 and sentencepiece 0.2.3. usage: make_token_goldens.py [OUT_FILE]
Each case is a change of a small tokenizer.json (`base`), or a tokenizer.model in base64, and the ids of `texts`.
"""

import base64
import io
import json
import sys
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import Tokenizer, models, trainers

from make_tokenizer import SENTENCES

VERSIONS = {"tokenizers": "0.23.3", "sentencepiece": "0.2.3"}
TEXTS = [
    "a <l> b and <r> c <b> d, x<n>y <n>, <|a|>b <|a|> b two  spaces   three",
    "the cat sat in a category of cats. cat, cat-like, scat. The cat.",
    "ﬁne ① café cafe\u0301   three   spaces ＡＢＣ and <unk> ▁x </s> a\r\nb\t tab 😀",
    "<l>", "  <l>  ", "x<r>  <r> y", "<b><b>", "cat", "catcat", "_cat", "é cat", "a <n> b", " <n>", " a", "a ", "", "  ",
    "<r>   cat", "<r>  <l>", "\u2028 <l>\u00a0<r>\u3000x", "ab\x85\ufeff cd", "½ ① ١٢ 2024", "</s> <s>a</s>b",
    "🙂cat 🙂 cat", "it's 12 o'clock; we'll see!", "aaaa aaaaaaa", "The river ran past the old mill",
]


def added(content, id, **flags):
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return {"id": id, "content": content, **token, **flags}


def base():
    """A BPE with byte fallback over words that begin with a mark."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=special, show_progress=False)
    text = [" ".join(SENTENCES).replace(" ", "▁")[i : i + 40] for i in range(0, 600, 40)]
    tokenizer.train_from_iterator([part for sentence in text for part in sentence.replace("▁", " ▁").split(" ")], trainer)
    json_ = json.loads(tokenizer.to_str())
    json_["added_tokens"] = [t for t in json_["added_tokens"] if t["id"] < 3]
    json_["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, SPACES]}
    return json_


SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def cases(n):
    flags = [
        added("<l>", n, lstrip=True), added("<r>", n + 1, rstrip=True),
        added("<b>", n + 2, lstrip=True, rstrip=True, special=True), added("cat", n + 3, single_word=True),
        added("<n>", n + 4, normalized=True), added("  ", n + 5), added("<|a|>", n + 6, special=True), added("<|a|>b", n + 7),
    ]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    yield "plain", {}
    yield "flags of added tokens", {"+added_tokens": flags}
    yield "flags and first Metaspace", {"+added_tokens": flags, "normalizer": None, "pre_tokenizer": metaspace}
    yield "Metaspace that splits", {"normalizer": None, "pre_tokenizer": {**metaspace, "prepend_scheme": "always", "split": True}}
    yield "folding", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Prepend", "prepend": "▁"}, SPACES]}}
    yield "a dollar", {"normalizer": {"type": "Replace", "pattern": {"String": "e"}, "content": "$&"}}
    yield "lower case, stripped", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Lowercase"}, SPACES]}}
    for single in (True, False):
        yield f"digits, individual {single}", {"pre_tokenizer": {"type": "Digits", "individual_digits": single}}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            split = {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": behavior, "invert": invert}
            yield f"Split, {behavior}, invert {invert}", {"pre_tokenizer": split}
    yield "Punctuation", {"pre_tokenizer": {"type": "Punctuation", "behavior": "Isolated"}}
    yield "Whitespace", {"normalizer": None, "pre_tokenizer": {"type": "Whitespace"}}
    yield "WhitespaceSplit", {"normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}}
    yield "a sequence", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "a"}, "behavior": "MergedWithNext", "invert": False}, {"type": "Digits", "individual_digits": True}]}}


def changed(json_, change):
    result = {**json_, **{k: v for k, v in change.items() if k[0] != "+"}}
    for key, more in change.items():
        if key[0] == "+":
            result[key[1:]] = json_[key[1:]] + more
    return result


def sentence_pieces():
    identity = {"normalization_rule_name": "identity"}
    common = {"hard_vocab_limit": False, "minloglevel": 2}
    kept = {"remove_extra_whitespaces": False, "byte_fallback": True, **identity}
    user = ["<b>", "cat"]
    for name, o in {
        "BPE with bytes": {"model_type": "bpe", "vocab_size": 340, **kept},
        "BPE without a prefix, runs of spaces": {"model_type": "bpe", "vocab_size": 340, "add_dummy_prefix": False,
            "user_defined_symbols": ["▁▁", "▁▁▁", *user], **kept},
        "BPE, spaces folded, a user's pieces": {"model_type": "bpe", "vocab_size": 90, "user_defined_symbols": user, **identity},
        "Unigram": {"model_type": "unigram", "vocab_size": 90, **identity},
        "Unigram with bytes, across words": {"model_type": "unigram", "vocab_size": 340, "split_by_whitespace": False, **kept},
        "Unigram that folds characters": {"model_type": "unigram", "vocab_size": 90, "normalization_rule_tsv": "RULES"},
    }.items():
        model = io.BytesIO()
        if "normalization_rule_tsv" in o:
            # A table of its own: the built-in ones take 300 kB.
            path = Path("/tmp/rules.tsv")
            path.write_text("FB01\t66 69\n2460\t31\n65 301\tE9\nFF21\t41\nFF22\t42\nFF23\t43\n85\t20\nA0\t20\n")
            o = {**o, "normalization_rule_tsv": str(path)}
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SENTENCES * 3), model_writer=model, **common, **o)
        yield name, model.getvalue()


def main():
    found = {"tokenizers": tokenizers.__version__, "sentencepiece": sentencepiece.__version__}
    if found != VERSIONS:
        sys.exit(f"these goldens are made with {VERSIONS}, but here is {found}")
    default = Path(__file__).resolve().parent.parent / "fixtures" / "tokenizer" / "goldens.json"
    json_ = base()
    n = len(json_["model"]["vocab"])
    goldens = {"texts": TEXTS, "base": json_, "cases": [], "sentencePieces": []}
    for name, change in cases(n):
        tokenizer = Tokenizer.from_str(json.dumps(changed(json_, change)))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        goldens["cases"].append({"name": name, "change": change, "ids": ids})
    for name, model in sentence_pieces():
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        goldens["sentencePieces"].append(
            {"name": name, "model": base64.b64encode(model).decode(), "ids": [processor.encode(text) for text in TEXTS]}
        )
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    rows = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in goldens.items() if key in ("texts", "base")]
    for key in ("cases", "sentencePieces"):
        rows.append(f'"{key}": [\n' + ",\n".join(json.dumps(case, ensure_ascii=False) for case in goldens[key]) + "\n]")
    out.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    print(f"{len(goldens['cases'])} tokenizers, {len(goldens['sentencePieces'])} SentencePiece models")


if __name__ == "__main__":
    main()
