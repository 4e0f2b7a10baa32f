"""transformers on PyTorch's CPU kernels: transformers_cpu.py '{"folder", "threads", "dtype"}'"""

import json
import sys
import time

import torch
import transformers

given = json.loads(sys.argv[1])
torch.set_num_threads(given["threads"])
torch.manual_seed(0)
dtype = getattr(torch, given["dtype"])
model = transformers.AutoModelForCausalLM.from_pretrained(given["folder"], dtype=dtype, attn_implementation="sdpa").eval()
vocabulary = model.config.vocab_size


def forward(tokens, cache):
    """Logits of the last token, on from what the cache holds."""
    return model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values


@torch.inference_mode()
def measure(kind, count, depth):
    cache = transformers.DynamicCache(config=model.config)
    if depth:
        cache = forward(torch.randint(vocabulary, (1, depth)), cache)
    steps = [torch.randint(vocabulary, (1, count))] if kind == "prefill" else list(torch.randint(vocabulary, (count, 1, 1)))
    start = time.perf_counter()
    for tokens in steps:
        cache = forward(tokens, cache)
    return count / (time.perf_counter() - start)


@torch.inference_mode()
def check(count):
    """The likeliest token after 1000, 1001, ..., and its logit."""
    logits = model(torch.arange(1000, 1000 + count)[None], logits_to_keep=1).logits[0, -1]
    return {"token": int(logits.argmax()), "logit": float(logits.max())}


def say(answer):
    print(json.dumps(answer), flush=True)


facts = {"name": "transformers", "torch": torch.__version__, "transformers": transformers.__version__}
say({**facts, "threads": torch.get_num_threads(), "dtype": given["dtype"], "cache": given["dtype"], "attention": "sdpa"})
for line in sys.stdin:
    kind, *numbers = line.split()
    if kind == "quit":
        break
    say(check(int(numbers[0])) if kind == "check" else {"rate": measure(kind, *map(int, numbers))})
