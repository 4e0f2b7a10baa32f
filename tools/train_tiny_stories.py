#!/usr/bin/env python3
"""Make the built-in model `models/tiny-stories`: a deep, narrow Llama of 2.5 million parameters that writes small stories.

The stages, in order (each reads what the ones before it wrote):

  tokenizer  byte-level BPE of 1024 tokens from the training documents    -> OUT/tokenizer.json, tokenizer_config.json
  sample     more training text, drawn from the stories260K checkpoint    -> WORK/sampled-*.txt
  train      two processes, one thread each, averaged gradients           -> OUT/model.safetensors, config.json, training.log
  report     bits per byte of both models on the held-out documents       -> WORK/report.json, OUT/samples.txt

The real text is the 2 MiB of TinyStories in SHARED/data; its last 5 % of documents are held out and never trained on.
Two MiB are few for 2.5 million parameters, so about half of the training text is sampled from stories260K, which saw all of
TinyStories; the share of real text rises to the end of the run.

The schedule follows the clock, not a step count: `--minutes` is the time of the train stage, and the learning rate reaches
zero when it is over. A faster machine therefore trains on more tokens, and two runs differ in their last digits.

Commands of the published weights (Python 3.11.7, torch 2.13.0, transformers 5.18.0, tokenizers 0.23.2, safetensors 0.8.0,
numpy 2.4.6, on two AVX2 cores that other programs shared, each command under `nice -n 5`):

  python tools/train_tiny_stories.py tokenizer
  python tools/train_tiny_stories.py sample --seed 1 --sample-minutes 7
  python tools/train_tiny_stories.py sample --seed 2 --sample-minutes 3
  python tools/train_tiny_stories.py train --seed 1 --minutes 52
  python tools/train_tiny_stories.py report

All at once, from nothing, with the default paths: python tools/train_tiny_stories.py tokenizer sample train report
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F
from torch import nn

# Legend: B sequences, T tokens, D hidden, L layers, H heads, K key-value heads, E head size, M MLP, V vocabulary.
D, L, H, K, E, M, V = 128, 12, 4, 2, 32, 384, 1024
CONTEXT, EPS, THETA = 512, 1e-5, 10000.0
STEP_TOKENS = 4096
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

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=V, special_tokens=[END], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(real_documents(shared)[0], trainer)
    assert tokenizer.get_vocab_size() == V and tokenizer.token_to_id(END) == 0
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END, "eos_token": END}
    config |= {"model_max_length": CONTEXT, "clean_up_tokenization_spaces": False}
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


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
    """Plain characters, a fair length, a sentence's end at the end."""
    return len(document) >= 200 and document.isascii() and document[-1] in '.!?"'


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
    with open(work / f"sampled-{seed}-{process}.txt", "w", encoding="utf-8") as file:
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


# ---------------------------------------------------------------- the model


class TinyStories(nn.Module):
    """Llama with the weights of all layers stacked, so that one optimizer step is a few batched products."""

    def __init__(self):
        super().__init__()
        normal = lambda *shape, std: nn.Parameter(torch.randn(*shape) * std)
        self.embed = normal(V, D, std=0.02)
        self.qkv = normal(L, (H + 2 * K) * E, D, std=D**-0.5)
        self.gated = normal(L, 2 * M, D, std=D**-0.5)
        self.out = normal(L, D, H * E, std=0.2 * D**-0.5)
        self.down = normal(L, D, M, std=0.2 * M**-0.5)
        self.attention_norm, self.mlp_norm, self.norm = (nn.Parameter(torch.ones(*s)) for s in ((L, D), (L, D), (D,)))
        cos, sin = rotary(E, CONTEXT, THETA)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """tokens, targets [B, T] -> mean nats of each row [B]."""
        rows, length = tokens.shape
        cos, sin = self.cos[:length], self.sin[:length]
        stacks = (self.qkv, self.out, self.gated, self.down, self.attention_norm, self.mlp_norm)
        x = F.embedding(tokens, self.embed)
        for qkv, out, gated, down, attention_norm, mlp_norm in zip(*(s.unbind(0) for s in stacks)):
            heads = F.linear(F.rms_norm(x, (D,), attention_norm, EPS), qkv).view(rows, length, -1, E).transpose(1, 2)
            q, k, v = heads.split([H, K, K], 1)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            k, v = k.repeat_interleave(H // K, 1), v.repeat_interleave(H // K, 1)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + F.linear(mixed.transpose(1, 2).reshape(rows, length, H * E), out)
            gate, up = F.linear(F.rms_norm(x, (D,), mlp_norm, EPS), gated).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        logits = F.linear(F.rms_norm(x, (D,), self.norm, EPS), self.embed)
        return F.cross_entropy(logits.view(-1, V), targets.reshape(-1), reduction="none").view(rows, length).mean(1)

    @torch.no_grad()
    def save(self, out: Path) -> None:
        """As transformers' LlamaForCausalLM, in bfloat16; the head is the embedding and has no tensor of its own."""
        from safetensors.torch import save_file

        weights = {"model.embed_tokens.weight": self.embed, "model.norm.weight": self.norm}
        for i in range(L):
            at = f"model.layers.{i}."
            for name, part in zip(ATTENTION, self.qkv[i].split(list(ATTENTION.values()))):
                weights[f"{at}self_attn.{name}.weight"] = part
            for name, part in zip(GATED, self.gated[i].split(list(GATED.values()))):
                weights[f"{at}mlp.{name}.weight"] = part
            weights[at + "self_attn.o_proj.weight"] = self.out[i]
            weights[at + "mlp.down_proj.weight"] = self.down[i]
            weights[at + "input_layernorm.weight"] = self.attention_norm[i]
            weights[at + "post_attention_layernorm.weight"] = self.mlp_norm[i]
        weights = {name: w.detach().bfloat16().contiguous().clone() for name, w in weights.items()}
        save_file(weights, str(out / "model.part"), metadata={"format": "pt"})
        (out / "model.part").chmod(0o644)
        os.replace(out / "model.part", out / "model.safetensors")


def write_config(out: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "vocab_size": V, "hidden_size": D, "intermediate_size": M, "num_hidden_layers": L,
        "num_attention_heads": H, "num_key_value_heads": K, "head_dim": E, "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPS, "rope_theta": THETA, "rope_scaling": None, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02,
        "tie_word_embeddings": True, "use_cache": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 0}, indent=2) + "\n")


# ---------------------------------------------------------------- training


def orthogonal(g: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix of each in a stack, nearly, by five Newton-Schulz steps (Jordan et al. 2024, Muon)."""
    tall = g.shape[-2] > g.shape[-1]
    x = g.mT if tall else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, then each matrix made orthogonal. `parts` splits a stack of matrices that only share their input.

    Every process steps its own share of the layers and receives the others'."""

    def __init__(self, stacks: list[tuple[nn.Parameter, list[int]]], own: slice, momentum: float = 0.95, decay: float = 0.05):
        self.stacks, self.own, self.momentum, self.decay = stacks, own, momentum, decay
        self.buffers = [torch.zeros_like(p[own]) for p, _ in stacks]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for (p, parts), buffer in zip(self.stacks, self.buffers):
            grad, stepped = p.grad[self.own], p[self.own].clone()
            buffer.lerp_(grad, 1 - self.momentum)
            for weight, update in zip(stepped.split(parts, 1), grad.lerp(buffer, self.momentum).split(parts, 1)):
                scale = max(1.0, update.shape[-2] / update.shape[-1]) ** 0.5
                weight.mul_(1 - rate * self.decay).add_(orthogonal(update), alpha=-rate * scale)
            p.zero_()
            p[self.own] = stepped
            torch.distributed.all_reduce(p.data)


def rows_of(documents: list[np.ndarray], random: np.random.Generator):
    """Endless shuffled documents as one stream, the end token before each; send(length) gives length + 1 tokens."""
    stream, length = np.zeros(0, np.int64), 0
    while True:
        while len(stream) < length + 1:
            order = random.permutation(len(documents))[:256]
            stream = np.concatenate([stream, *(np.append(0, documents[i]) for i in order)])
        row, stream = stream[: length + 1], stream[length:] if length else stream
        length = yield row


def held_out_rows(documents: list[np.ndarray], end: int = 0) -> list[np.ndarray]:
    """End, document, end, document, ..., end, cut into rows of CONTEXT inputs; every token but the first is predicted once."""
    stream = np.concatenate([*(np.append(end, d) for d in documents), [end]])
    return [stream[i : i + CONTEXT + 1] for i in range(0, len(stream) - 1, CONTEXT)]


def real_share(progress: float) -> float:
    """Of the rows, how many are real text."""
    return 0.9 if progress > 0.8 else 0.3 + 0.4 * progress


def train_process(process: int, processes: int, shared: Path, out: Path, work: Path, minutes: float, seed: int) -> None:
    group = torch.distributed
    torch.set_num_threads(1)
    meeting = (work / "processes").resolve().as_uri()  # a file in which the processes find each other
    group.init_process_group("gloo", init_method=meeting, rank=process, world_size=processes)
    training, held_out = real_documents(shared)
    sampled = [d for f in sorted(work.glob("sampled-*.txt")) for d in f.read_text(encoding="utf-8").split(f"\n{END}\n") if d]
    random = np.random.default_rng([seed, process])
    sources = [rows_of(token_ids(documents, out), random) for documents in (sampled[process::processes], training)]
    for source in sources:
        next(source)
    validation = held_out_rows(token_ids(held_out, out))[process::processes]
    held_out_bytes = sum(len(d.encode()) for d in held_out)

    torch.manual_seed(seed)
    model = TinyStories()
    parameters = list(model.parameters())
    own = slice(process * L // processes, (process + 1) * L // processes)
    stacks = [(model.qkv, list(ATTENTION.values())), (model.gated, list(GATED.values())), (model.out, [D]), (model.down, [D])]
    muon = Muon(stacks, own)
    vectors = [model.embed, model.norm, model.attention_norm, model.mlp_norm]
    adam = torch.optim.AdamW(vectors, betas=(0.9, 0.95), weight_decay=0.0)
    flat = torch.zeros(sum(p.numel() for p in parameters) + 6)  # gradients; seconds; nats and rows of either source; tokens
    for p, view in zip(parameters, flat[:-6].split([p.numel() for p in parameters])):
        p.grad = view.view_as(p)

    log = open(out / "training.log", "w", encoding="utf-8") if process == 0 else None

    def say(line: str) -> None:
        if log:
            print(line, file=log, flush=True)
            print(line, flush=True)

    size = sum(p.numel() for p in parameters)
    say(f"parameters {size}  threads {processes}  minutes {minutes}  seed {seed}")
    say(f"real documents {len(training)} + {len(held_out)} held out ({held_out_bytes} bytes)  sampled documents {len(sampled)}")
    say("step  seconds  tokens  tokens/s  rate  loss_sampled  loss_real  [validation_nats_per_token  validation_bits_per_byte]")

    @torch.no_grad()
    def validate() -> tuple[float, float]:
        model.eval()
        totals = torch.zeros(2, dtype=torch.float64)
        for row in validation:
            tokens = torch.from_numpy(row)[None]
            totals += torch.tensor([model(tokens[:, :-1], tokens[:, 1:]).item() * (len(row) - 1), len(row) - 1])
        group.all_reduce(totals)
        return (totals[0] / totals[1]).item(), totals[0].item() / math.log(2) / held_out_bytes

    group.barrier()
    started, progress, step, tokens_seen, best = time.time(), 0.0, 0, 0, math.inf
    next_validation, losses, since, tokens_since = 240.0, torch.zeros(4), 0.0, 0
    while True:
        length = CONTEXT // 2 if progress < 0.8 else CONTEXT
        kinds = (random.random(STEP_TOKENS // length // processes) < real_share(progress)).astype(int)
        batch = torch.from_numpy(np.stack([sources[kind].send(length) for kind in kinds]))
        flat.zero_()
        row_losses = model(batch[:, :-1], batch[:, 1:])
        row_losses.mean().backward()
        nats, real = row_losses.detach(), torch.from_numpy(kinds).float()
        sums = [nats @ (1 - real), nats @ real, (1 - real).sum(), real.sum()]
        flat[-6:] = torch.tensor([time.time() - started, *sums, batch[:, 1:].numel()])
        group.all_reduce(flat)
        flat[:-5] /= processes
        seconds, step, tokens_seen = flat[-6].item(), step + 1, tokens_seen + int(flat[-1])
        losses += flat[-5:-1]
        progress = min(1.0, seconds / (60 * minutes))
        schedule = min(1.0, step / 40, (1 - progress) / 0.7)
        muon.step(0.02 * schedule)
        for g in adam.param_groups:
            g["lr"] = 0.004 * schedule
        adam.step()
        done = progress >= 1.0
        validates = done or seconds >= next_validation
        if step % 20 == 0 or validates:
            line = f"{step}  {seconds:.0f}  {tokens_seen}  {(tokens_seen - tokens_since) / (seconds - since):.0f}  {0.02 * schedule:.5f}"
            line += "".join(f"  {(losses[i] / losses[i + 2]).item():.4f}" for i in (0, 1))
            losses, since, tokens_since = torch.zeros(4), seconds, tokens_seen
            if validates:
                nats, bits = validate()
                next_validation = seconds + 240
                line += f"  {nats:.4f}  {bits:.4f}"
                if bits < best and process == 0:
                    best = bits
                    model.save(out)
            say(line)
        if done:
            break
    group.destroy_process_group()


# ---------------------------------------------------------------- report


@torch.no_grad()
def bits_per_byte(model_folder: Path, documents: list[str], end: int) -> dict:
    """Of a checkpoint in float32: `end` before each document and after the last, packed into rows of 512 inputs."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    ids = [np.array(tokenizer.encode(d, add_special_tokens=False).ids, np.int64) for d in documents]
    nats, count, size = 0.0, 0, sum(len(d.encode()) for d in documents)
    for row in held_out_rows(ids, end):
        tokens = torch.from_numpy(row)
        logits = model(tokens[None, :-1], use_cache=False).logits[0]
        nats += F.cross_entropy(logits, tokens[1:], reduction="sum").item()
        count += len(row) - 1
    return {"end": end, "bits_per_byte": nats / math.log(2) / size, "nats_per_token": nats / count, "tokens": count, "bytes": size}


@torch.no_grad()
def report(shared: Path, out: Path, work: Path) -> None:
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    held_out = real_documents(shared)[1]
    teacher = shared / "models" / "stories260K"
    result = {
        "tiny-stories": bits_per_byte(out, held_out, 0),
        "stories260K": bits_per_byte(teacher, held_out, 1),  # <s> between stories, as in its training
        "stories260K with </s>": bits_per_byte(teacher, held_out, 2),
    }
    for name, row in result.items():
        print(f"report: {name}: {row['bits_per_byte']:.4f} bits per byte, {row['nats_per_token']:.4f} nats per token", flush=True)
    (work / "report.json").write_text(json.dumps(result, indent=2) + "\n")

    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
    torch.manual_seed(1)
    prompt = torch.zeros(20, 1, dtype=torch.long)
    rows = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=480, pad_token_id=0,
        do_sample=True, temperature=0.8, top_k=0, top_p=1.0,
    )
    with open(out / "samples.txt", "w", encoding="utf-8") as file:
        file.write(f"20 unedited samples: prompt {END} alone, temperature 0.8, no top-k or top-p, at most 480 tokens;\n")
        file.write("one batch of 20 by transformers generate() in float32 after torch.manual_seed(1), in the batch's order.\n")
        for number, row in enumerate(rows, 1):
            file.write(f"\n=== seed 1, sample {number}\n{tokenizer.decode(row, skip_special_tokens=True)}\n")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stages", nargs="+", choices=["tokenizer", "sample", "train", "report"])
    p.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and models/stories260K")
    p.add_argument("--out", type=Path, default=Path("models/tiny-stories"))
    p.add_argument("--work", type=Path, default=Path("build/tiny-stories"), help="folder for sampled text")
    p.add_argument("--minutes", type=float, default=52, help="wall time of the train stage")
    p.add_argument("--sample-minutes", type=float, default=7, help="wall time of the sample stage")
    p.add_argument("--temperature", type=float, default=0.9, help="of the sample stage")
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--seed", type=int, default=1)
    o = p.parse_args()
    o.work.mkdir(parents=True, exist_ok=True)
    spawn = torch.multiprocessing.spawn
    if "tokenizer" in o.stages:
        make_tokenizer(o.shared, o.out)
    if "sample" in o.stages:
        spawn(sample_stories, (o.shared, o.work, o.sample_minutes, o.temperature, o.seed), nprocs=o.processes)
    if "train" in o.stages:
        write_config(o.out)
        (o.work / "processes").unlink(missing_ok=True)
        spawn(train_process, (o.processes, o.shared, o.out, o.work, o.minutes, o.seed), nprocs=o.processes)
    if "report" in o.stages:
        report(o.shared, o.out, o.work)


if __name__ == "__main__":
    main()
