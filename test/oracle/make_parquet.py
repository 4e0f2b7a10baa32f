#!/usr/bin/env python3
"""Makes test/fixtures/text/*.parquet: six rows of a text and of a chat, as each compression has them.

Runs with pyarrow 26.0.1. usage: make_parquet.py [OUT_DIR]
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def main():
    default = Path(__file__).resolve().parent.parent / "fixtures" / "text"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    out.mkdir(parents=True, exist_ok=True)
    rows = range(6)
    table = pa.table(
        {
            "id": list(rows),
            "text": [f"stóry {i} 漢字\n" for i in rows],
            "messages": [[{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}] for i in rows],
        }
    )
    for compression in ("none", "snappy", "gzip", "zstd", "brotli", "lz4"):
        pq.write_table(table, out / f"{compression}.parquet", compression=compression, row_group_size=4)
    pq.write_table(table.drop(["text"]), out / "chats.parquet")


if __name__ == "__main__":
    main()
