#!/usr/bin/env python3
"""Makes test/fixtures/tokenizer: a byte-level BPE of 320 tokens, trained on the sentences below.

Runs with tokenizers 0.23.2. usage: make_tokenizer.py [OUT_DIR]      (default: test/fixtures/tokenizer)
"""

import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VERSION = "0.23.2"
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
SENTENCES = [
    "The river ran past the old mill, and the miller ran past the river.",
    "A layer that changes nothing can be left out, and nothing is lost.",
    "She counted the lamps along the street: one, two, three, and a dark one.",
    "The baker opened the door before the sun was over the hill.",
    "When the last train had left, the station was quiet again.",
    "He wrote the letter twice, because the first one said too much.",
    "The children built a bridge of stones, and the water went around it.",
    "Rain fell on the roof all night; in the morning the garden was green.",
    "The more often a word is read, the shorter it becomes.",
    "Nothing in the house was new, but everything in it was cared for.",
]


def main():
    if tokenizers.__version__ != VERSION:
        sys.exit(f"this fixture is made with tokenizers {VERSION}, but here is {tokenizers.__version__}")
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "fixtures" / "tokenizer"
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 64,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    text = "The river ran past nothing: zwölf!"
    ids = tokenizer.encode(text).ids
    print(f"{tokenizer.get_vocab_size()} tokens; {text!r} is {ids}")
    assert tokenizer.decode(ids) == text


if __name__ == "__main__":
    main()
