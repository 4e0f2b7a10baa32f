#!/usr/bin/env python3
"""Make the built-in model `models/tiny-stories`: a deep, narrow Llama of 2.5 million parameters that writes small stories.

The stages, in order (each reads what the ones before it wrote):

  tokenizer  byte-level BPE of 1024 tokens from the training documents    -> OUT/tokenizer.json, tokenizer_config.json
  sample     more training text, drawn from the stories260K checkpoint    -> WORK/sampled-*.txt
  train      two processes, one thread each, averaged gradients           -> OUT/model.safetensors, config.json, training.log
  report     bits per byte of both models on the held-out documents       -> WORK/report.json, OUT/samples.txt

The real text is the 2 MiB of TinyStories in SHARED/data; its last 5 % of documents are held out and never trained on.
Two MiB are few for 2.5 million parameters, so most of the training text is sampled from stories260K, which saw all of
TinyStories; the share of real text rises to the end of the run.

The schedule follows the clock, not a step count: `--minutes` is the time of the train stage, and the learning rate reaches
zero when it is over. A faster machine therefore trains on more tokens, and two runs differ in their last digits.

Commands of the published weights (Python 3.11, torch 2.13.0, transformers 5.18.0, tokenizers 0.23.2, safetensors 0.8.0,
numpy 2.4.6, two cores of an x86-64 server without AVX-512):

  COMMANDS
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Legend: B sequences, T tokens, D hidden, L layers, H heads, K key-value heads, E head size, M MLP, V vocabulary.
D, L, H, K, E, M, V = 128, 12, 4, 2, 32, 384, 1024
CONTEXT, EPS, THETA = 512, 1e-5, 10000.0
END = "<|endoftext|>"  # begins and ends every document; id 0
ATTENTION = {"q_proj": H * E, "k_proj": K * E, "v_proj": K * E}
GATED = {"gate_proj": M, "up_proj": M}


# ---------------------------------------------------------------- text


def real_documents(shared: Path) -> tuple[list[str], list[str]]:
    """Training and held-out documents of TinyStories: the last 5 % are held out."""
    text = (shared / "data" / "tinystories.txt").read_text(encoding="utf-8")
    documents = [d for d in (d.strip() for d in text.split(END)) if d]
    cut = len(documents) - round(0.05 * len(documents))
    return documents[:cut], documents[cut:]


def make_tokenizer(shared: Path, out: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=V, special_tokens=[END], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(real_documents(shared)[0], trainer)
    assert tokenizer.get_vocab_size() == V and tokenizer.token_to_id(END) == 0
    out.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, model_max_length=CONTEXT, clean_up_tokenization_spaces=False
    ).save_pretrained(out)


def token_ids(documents: list[str], out: Path) -> list[np.ndarray]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    return [np.array(e.ids, np.int64) for e in tokenizer.encode_batch(documents, add_special_tokens=False)]


# ---------------------------------------------------------------- sampling from stories260K


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def rotary(size: int, positions: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [positions, size]."""
    angle = torch.outer(torch.arange(positions).float(), theta ** (-torch.arange(0, size, 2) / size))
    return torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()


class Teacher:
    """A Llama with a key-value cache of fixed size, one new token a row a step; rows stand at different positions."""

    def __init__(self, folder: Path, rows: int):
        from safetensors.torch import load_file

        self.config = c = json.loads((folder / "config.json").read_text())
        self.weights = load_file(str(folder / "model.safetensors"))
        self.heads, self.kv, self.context = c["num_attention_heads"], c["num_key_value_heads"], c["max_position_embeddings"]
        self.size = c["hidden_size"] // self.heads
        self.cos, self.sin = rotary(self.size, self.context, c["rope_theta"])
        cache = lambda: torch.zeros(rows, self.kv, self.context, self.size)
        self.keys, self.values = ([cache() for _ in range(c["num_hidden_layers"])] for _ in range(2))

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weights[name], self.config["rms_norm_eps"])

    def logits(self, token: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """token, position [B] -> logits [B, V]; writes this step's keys and values."""
        w, rows, row = self.weights, len(token), torch.arange(len(token))
        cos, sin = self.cos[position, None], self.sin[position, None]
        seen = int(position.max()) + 1
        mask = torch.where(torch.arange(seen) <= position[:, None], 0.0, -math.inf)[:, None, None]
        x = w["model.embed_tokens.weight"][token]
        for i in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{i}."
            n = self.norm(x, at + "input_layernorm.weight")
            q, k, v = (F.linear(n, w[f"{at}self_attn.{p}_proj.weight"]).view(rows, -1, self.size) for p in "qkv")
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            self.keys[i][row, :, position], self.values[i][row, :, position] = k, v
            q = q.view(rows, self.kv, -1, self.size)
            scores = q @ self.keys[i][:, :, :seen].transpose(-1, -2) / math.sqrt(self.size) + mask
            mixed = (scores.softmax(-1) @ self.values[i][:, :, :seen]).reshape(rows, -1)
            x = x + F.linear(mixed, w[at + "self_attn.o_proj.weight"])
            n = self.norm(x, at + "post_attention_layernorm.weight")
            gate, up = (F.linear(n, w[f"{at}mlp.{p}_proj.weight"]) for p in ("gate", "up"))
            x = x + F.linear(F.silu(gate) * up, w[at + "mlp.down_proj.weight"])
        return F.linear(self.norm(x, "model.norm.weight"), w["model.embed_tokens.weight"])


def is_sound(document: str) -> bool:
    """Whole stories only: plain characters, a fair length, a sentence's end at the end."""
    return len(document) >= 200 and document.isascii() and document.isprintable() | ("\n" in document) and document[-1] in '.!?"'


@torch.no_grad()
def sample_stories(process: int, shared: Path, work: Path, minutes: float, temperature: float, seed: int, rows: int = 256) -> None:
    """Rows begin anew when their story ends; stories that do not end within the context are thrown away."""
    from tokenizers import Tokenizer

    torch.manual_seed(1000 * seed + process)
    torch.set_num_threads(1)
    folder = shared / "models" / "stories260K"
    teacher, tokenizer = Teacher(folder, rows), Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin = teacher.config["bos_token_id"]
    token, position = torch.full((rows,), begin), torch.zeros(rows, dtype=torch.long)
    stories: list[list[int]] = [[] for _ in range(rows)]
    work.mkdir(parents=True, exist_ok=True)
    started, kept, thrown, size = time.time(), 0, 0, 0
    with open(work / f"sampled-{process}.txt", "w", encoding="utf-8") as file:
        while (elapsed := time.time() - started) < 60 * minutes:
            noise = torch.empty(rows, V // 2).exponential_()
            token = ((teacher.logits(token, position) / temperature).softmax(-1) / noise).argmax(-1)
            position += 1
            ended = token <= 2  # <unk>, <s> or </s>
            for row in (ended | (position >= teacher.context)).nonzero().flatten().tolist():
                text = tokenizer.decode(stories[row]).strip() if ended[row] else ""
                if text and is_sound(text):
                    file.write(f"{text}\n{END}\n")
                    kept, size = kept + 1, size + len(text)
                    if kept % 500 == 0:
                        print(f"sample {process}: {kept} stories, {thrown} thrown away, {size / 1e6:.2f} MB, {elapsed:.0f} s", flush=True)
                else:
                    thrown += 1
                stories[row], token[row], position[row] = [], begin, 0
            for row, t in enumerate(token.tolist()):
                if t != begin:
                    stories[row].append(t)
    print(f"sample {process}: {kept} stories, {thrown} thrown away, {size / 1e6:.2f} MB in {minutes} min", flush=True)
