#!/usr/bin/env python3
"""Makes test/fixtures/tasks: rows of each task as the hub has them, and what lm-evaluation-harness asks about them.

Runs with lm_eval 0.4.13 and, for --model, transformers. Rows come from a folder of tasks' data in the formats that
docs/measuring.md names (DATA/arc_easy/arc_easy.jsonl, ...); short ones are taken.

usage: make_task_goldens.py DATA [--model FOLDER]

- rows/TASK/SPLIT.jsonl: rows as lm-eval's own data sets have them
- requests.json: by task and number of examples, each question's context and continuations, as texts
- likelihoods.json (with --model): of the first questions of DATA, log-likelihoods of each choice, in float32
"""

import argparse
import csv
import json
import logging
import math
import random
from pathlib import Path

import lm_eval.tasks
from lm_eval.api.metrics import bootstrap_stderr, pooled_sample_stderr, perplexity
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import _yaml_loader

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "tasks"
YAMLS = Path(lm_eval.tasks.__file__).parent
TASKS = {
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "piqa": "piqa/piqa.yaml",
    "winogrande": "winogrande/default.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "rte": "glue/rte/default.yaml",
    "mmlu_anatomy": "mmlu/default/mmlu_anatomy.yaml",
    "mmlu_high_school_us_history": "mmlu/default/mmlu_high_school_us_history.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
}
# The task that docs/add-a-task.md adds, and rows made up for it.
ADDED = {"sciq": "sciq/sciq.yaml"}
SCIQ = [
    ("What do plants take in to make sugar?", "carbon dioxide", ["iron", "helium", "salt"], " Plants make sugar from light."),
    ("What pulls an apple to the ground?", "gravity", ["friction", "wind", "heat"], ""),
    ("Which gas do people breathe in to live?", "oxygen", ["neon", "argon", "methane"], "Air is a mix of gases."),
    ("What is frozen water called?", "ice", ["steam", "rain", "dew"], "\nWater is a solid below zero degrees."),
    ("Which organ pumps blood?", "the heart", ["the liver", "a lung", "the skin"], "Blood moves in vessels."),
    ("What does a thermometer measure?", "temperature", ["mass", "time", "length"], ""),
]
ASKED = 4
EXAMPLES = 30


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def cut(text, prefix):
    assert text.startswith(prefix), text
    return text[len(prefix) :]


def lettered(row, question):
    labels = [chr(65 + i) for i in range(len(row["choices"]))]
    choices = {"text": row["choices"], "label": labels}
    return {**question, "choices": choices, "answerKey": labels[row["gold"]]}


def winogrande(row):
    a, b = row["context_options"]
    # The options end the contexts; what both begin with, up to a word, is the sentence before the gap.
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    same = a.rfind(" ", 0, same) + 1
    sentence = f"{a[:same]}_ {row['continuation']}"
    return {"sentence": sentence, "option1": a[same:], "option2": b[same:], "answer": str(row["gold"] + 1)}


def boolq(row):
    passage, question = cut(row["query"], "Passage: ").rsplit("\nQuestion: ", 1)
    return {"passage": passage, "question": question[:-1], "label": row["gold"]}


def mmlu(data, subject, split):
    with open(data / "mmlu" / split / f"{subject}_{split}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {"question": r["question"], "subject": subject, "choices": [r[f"choice{i}"] for i in range(4)], "answer": int(r["answer"])}
        for r in rows
    ]


def raw_rows(data, task):
    """Rows by split, in the hub's fields: all that DATA has are those that are asked about."""
    if task.startswith("mmlu_"):
        subject = cut(task, "mmlu_")
        return {"test": mmlu(data, subject, "test"), "dev": mmlu(data, subject, "dev")}
    folder = data / ("lambada" if task == "lambada_openai" else task)
    rows = [row for path in sorted(folder.glob("*.jsonl")) for row in lines(path)]
    if task.startswith("arc"):
        rows = [lettered(r, {"id": str(i), "question": cut(r["query"], "Question: ")}) for i, r in enumerate(rows)]
    elif task == "openbookqa":
        rows = [lettered(r, {"id": str(i), "question_stem": r["query"]}) for i, r in enumerate(rows)]
    elif task == "piqa":
        rows = [
            {"goal": cut(r["query"], "Question: ")[:-1], "sol1": r["choices"][0], "sol2": r["choices"][1], "label": r["gold"]}
            for r in rows
        ]
    elif task == "winogrande":
        rows = [winogrande(r) for r in rows]
    elif task == "boolq":
        rows = [boolq(r) for r in rows]
    elif task == "hellaswag":
        rows = [{**r, "label": str(r["label"])} for r in rows]
    elif task == "rte":
        rows = [
            {"sentence1": r["premise"], "sentence2": r["hypothesis"], "label": int(r["label"] != "entailment"), "idx": r["idx"]}
            for r in rows
        ]
    elif task == "lambada_openai":
        rows = [{"text": f"{r['context']} {r['continuation']}"} for r in rows]
    return {"asked": rows}


def sciq(index):
    question, right, wrong, support = SCIQ[index]
    distractors = {f"distractor{i + 1}": text for i, text in enumerate(wrong)}
    return {"question": question, **distractors, "correct_answer": right, "support": support}


def config_of(task):
    config = _yaml_loader.load_yaml(YAMLS / (TASKS | ADDED)[task], resolve_func=True)
    return {**config, "task": task}


def load(task, files):
    config = {k: v for k, v in config_of(task).items() if k not in ("dataset_name", "tag", "group")}
    config.update(dataset_path="json", dataset_kwargs={"data_files": {k: str(v) for k, v in files.items()}})
    return ConfigurableTask(config=config)


def requests(task, shots):
    task.set_config(key="num_fewshot", value=shots)
    task.set_fewshot_seed(seed=1234)
    task.build_all_requests()
    by_doc = {}
    for instance in task.instances:
        by_doc.setdefault(instance.doc_id, []).append(instance)
    return [by_doc[doc] for doc in sorted(by_doc)]


def short(rows, count):
    """So many rows of those that are no longer than two thirds of all, in their order."""
    size = lambda row: len(json.dumps(row))
    most = sorted(map(size, rows))[2 * len(rows) // 3]
    return [row for row in rows if size(row) <= most][:count]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def fixture_files(data, name):
    config = config_of(name)
    asked = "test" if config.get("test_split") else "validation"
    found = raw_rows(data, name)
    if "dev" in found:
        splits = {"test": short(found["test"], ASKED), "dev": found["dev"]}
    elif config.get("training_split"):
        rows = short(found["asked"], ASKED + EXAMPLES)
        # One question is among its own examples, and twice: lm-eval leaves it out.
        splits = {asked: rows[:ASKED], "train": rows[ASKED:] + rows[:1] + rows[:1]}
    else:
        splits = {asked: short(found["asked"], EXAMPLES)}
    folder = OUT / "rows" / ("lambada" if name == "lambada_openai" else name)
    if name.startswith("mmlu_"):
        return {s: write(OUT / "rows" / "mmlu" / cut(name, "mmlu_") / f"{s}.jsonl", rows) for s, rows in splits.items()}
    return {s: write(folder / f"{s}.jsonl", rows) for s, rows in splits.items()}


def as_texts(instances):
    """Contexts once where all choices have the same."""
    if instances[0].request_type == "generate_until":
        return {"context": instances[0].args[0]}
    contexts = [i.args[0] for i in instances]
    return {
        "context": contexts[0] if len(set(contexts)) == 1 else contexts,
        "continuations": [i.args[1] for i in instances],
    }


def write_json(name, value, indent=1):
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def python_random():
    r = random.Random(1234)
    values = [0.125 * i - 3 for i in range(40)]
    return {
        "random": [r.random() for _ in range(3)],
        "samples": [[n, k, r.sample(list(range(n)), k)] for n, k in ((10, 5), (21, 5), (22, 5), (85, 6), (86, 6), (1000, 26))],
        "choices": r.choices(range(1000), k=10),
        "perplexityError": bootstrap_stderr(perplexity, values, 2000),
        "pooledError": float(pooled_sample_stderr([0.1, 0.2, 0.05], [10, 20, 35])),
    }


def parquet(data):
    """The same rows as the hub has them: a folder for each configuration, or none."""
    import datasets

    datasets.disable_progress_bars()
    for folder, name in (("arc_easy", "ARC-Easy"), ("mmlu/anatomy", "anatomy"), ("winogrande", "winogrande_xl")):
        for path in sorted((OUT / "rows" / folder).glob("*.jsonl")):
            target = OUT / "parquet" / folder.split("/")[0] / name / f"{path.stem}-00000-of-00001.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_list(lines(path)).to_parquet(target)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--model")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    expected = {}
    for name in TASKS:
        task = load(name, fixture_files(options.data, name))
        shots = [0, 5, 10] if name == "hellaswag" else [0, 5]
        expected[name] = {n: [as_texts(i) for i in requests(task, n)[:ASKED]] for n in shots}
    write_json("requests.json", expected)
    folder = OUT / "added" / "sciq"
    files = {s: write(folder / f"{s}.jsonl", [sciq(i) for i in rows]) for s, rows in (("test", [0, 1]), ("train", [2, 3, 4, 5]))}
    added = load("sciq", files)
    write_json("added/sciq.json", {n: [as_texts(i) for i in requests(added, n)] for n in (0, 3)})
    parquet(options.data)
    write_json("random.json", python_random())
    if options.model:
        write_json("likelihoods.json", likelihoods(options.data, options.model), None)


def likelihoods(data, folder):
    """As `lm_eval --model hf --model_args pretrained=FOLDER,dtype=float32`: of the first questions, without examples."""
    import tempfile

    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=8)
    found = {}
    for name in TASKS:
        count = 1 if name == "gsm8k" or name.startswith("mmlu_high") else 20 if name in LISTED else 3
        asked = "test" if config_of(name).get("test_split") else "validation"
        rows = raw_rows(data, name)
        rows = (rows.get("test") or rows["asked"])[:count]
        with tempfile.TemporaryDirectory() as temporary:
            task = load(name, {s: write(Path(temporary) / f"{s}.jsonl", rows) for s in (asked, "train", "dev")})
            questions = requests(task, 0)
        instances = [i for question in questions for i in question]
        if name == "gsm8k":
            texts = lm.generate_until(instances, disable_tqdm=True)
            found[name] = texts
            continue
        answers = iter(lm.loglikelihood(instances, disable_tqdm=True))
        found[name] = [[[round(s, 6), g] for s, g in (next(answers) for _ in question)] for question in questions]
        print(name, found[name][0])
    return found


# Of which more are compared.
LISTED = ("arc_easy", "hellaswag", "piqa", "winogrande")

if __name__ == "__main__":
    main()
