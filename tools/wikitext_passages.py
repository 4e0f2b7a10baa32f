"""Parts WikiText's raw text in two, by articles: passages to calibrate on, and other articles to measure on.

  python3 tools/wikitext_passages.py wiki.test.raw passages.jsonl other.jsonl

Rows of calibration are taken from a text's beginning, and the first rows of WikiText are of one or two articles. In
passages.jsonl the first 2400 characters of every second article come first, then the next 2400 of each, and so on;
other.jsonl has the first 9600 characters of the other articles. The order of articles is by chance, always the same.
"""
import json
import random
import re
import sys

source, passages, other = sys.argv[1:]
text = open(source, encoding="utf-8").read()
articles = [part for part in re.split(r"(?m)^ (?== [^=].* = ?$)", text) if len(part) > 3000]
chosen, rest = articles[1::2], articles[0::2]
random.seed(1)
random.shuffle(chosen)
random.seed(2)
random.shuffle(rest)


def write(path: str, documents: list[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps({"text": document}) + "\n")


length, most = 2400, 200
parts: list[str] = []
for at in range(0, max(map(len, chosen)), length):
    if len(parts) < most:
        parts += [part for article in chosen if len(part := article[at : at + length]) > length // 2]
write(passages, parts)
write(other, [article[: 4 * length] for article in rest])
