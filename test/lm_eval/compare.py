"""Stock lm_eval on one model twice: by our server (`local-completions`), and by its own `hf` model on the same weights.

usage: compare.py MODEL DATA [--limit 20] [--drop-attn 10-17] [--tasks local_arc_easy ...] [--server "node dist/cli/main.js serve"]

Prints each task's accuracies, and how many documents differ; fails where more than one document of a task does, or where
a log-likelihood is more than 1e-3 apart. With --drop-attn the `hf` model has zeros for the output projections of these layers.
Where the model is a float32 folder, both compute the same sums in another order.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

from local_tasks import write_tasks

default_tasks = ["local_arc_easy", "local_hellaswag", "local_winogrande", "local_piqa"]
nearest = 1e-3  # sums of float32 in another order move a log-likelihood of some tokens by some 1e-5


def layers_of(text: str) -> list[int]:
    ranges = [part.split("-") for part in text.split(",") if part]
    return [layer for r in ranges for layer in range(int(r[0]), int(r[-1]) + 1)]


def hf_model(path: str, dropped: list[int]) -> HFLM:
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    for layer in dropped:
        torch.nn.init.zeros_(model.model.layers[layer].self_attn.o_proj.weight)
    return HFLM(pretrained=model, tokenizer=path, device="cpu", batch_size=16)


def evaluate(model, tasks: TaskManager, o: argparse.Namespace, **more):
    begun = time.time()
    results = lm_eval.simple_evaluate(
        model=model, tasks=o.tasks, task_manager=tasks, limit=o.limit, bootstrap_iters=0, **more
    )
    return results, time.time() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--drop-attn", default="")
    parser.add_argument("--tasks", nargs="+", default=default_tasks)
    parser.add_argument("--server", default="node dist/cli/main.js serve")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--concurrent", type=int, default=256)
    o = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    write_tasks(o.data, pathlib.Path(folder.name))
    tasks = TaskManager(include_path=folder.name, include_defaults=False)

    command = [*o.server.split(), o.model, "--port", "0", "--slots", str(o.slots), "--json"]
    command += ["--drop-attn", o.drop_attn] if o.drop_attn else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        told = ""
        while not told.rstrip().endswith("\n}"):
            line = server.stdout.readline()
            if not line:
                sys.exit("the server did not begin")
            told += line
        url = json.loads(told)["url"]
        args = f"base_url={url}/v1/completions,model={json.loads(told)['models'][0]['id']},num_concurrent={o.concurrent}"
        ours, our_seconds = evaluate("local-completions", tasks, o, model_args=args)
    finally:
        server.terminate()
        server.wait()
    theirs, their_seconds = evaluate(hf_model(o.model, layers_of(o.drop_attn)), tasks, o)

    failed = False
    for task in o.tasks:
        a, b = ours["samples"][task], theirs["samples"][task]
        by_id = {sample["doc_id"]: sample for sample in b}
        apart = [sample for sample in a if sample["acc"] != by_id[sample["doc_id"]]["acc"]]
        # Each response is a list of pairs: a log-likelihood, and whether it is the greedy text.
        furthest = max(
            abs(float(x[0]) - float(y[0]))
            for sample in a
            for x, y in zip(sample["filtered_resps"], by_id[sample["doc_id"]]["filtered_resps"])
        )
        print(
            f"{task}: acc {ours['results'][task]['acc,none']:.4f} by the server, "
            f"{theirs['results'][task]['acc,none']:.4f} by hf; of {len(a)} documents {len(apart)} differ, "
            f"log-likelihoods by at most {furthest:.1e}"
        )
        failed |= len(apart) > 1 or furthest > nearest
    print(f"seconds: {our_seconds:.0f} by the server, {their_seconds:.0f} by hf")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
