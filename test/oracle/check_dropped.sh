#!/usr/bin/env bash
# Shows that transformers agrees with a saved drop: for each fixture, drops modules with the built command, computes
# logits of the saved folder here and there (dropped modules zeroed), and compares.
# usage: check_dropped.sh PYTHON     (a Python with torch and transformers)
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo '[[1, 5, 9, 2, 33, 7, 21, 40, 3, 3, 17, 60], [4, 8, 15, 16, 23, 42, 0, 1, 2, 3, 5, 8]]' > "$work/tokens.json"
for model in test/fixtures/cases/*; do
  name=$(basename "$model")
  node dist/cli/main.js drop "$model" --drop-attn 0,2 --drop-mlp 1 --out "$work/$name" --json > /dev/null
  node dist/cli/main.js logits "$work/$name" --tokens "$work/tokens.json" --out "$work/$name.safetensors" --json > /dev/null
  printf '%s: ' "$name"
  "$python" test/oracle/dropped_checkpoint.py "$model" "$work/$name" "$work/tokens.json" --compare "$work/$name.safetensors"
done
