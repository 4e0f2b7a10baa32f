#!/usr/bin/env bash
# Stock lm_eval through our server and by its own hf model, on the same weights: whole, and with 8 attentions dropped.
# usage: run.sh PYTHON SHARED [--limit 20]     PYTHON has torch, transformers and lm_eval[api]; SHARED has data/tasks and models
set -euo pipefail
python=$1
shared=$(realpath "$2")
shift 2
cd "$(dirname "$0")/../.."
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false
model=$(mktemp -d)
trap 'rm -rf "$model"' EXIT
"$python" "$shared/tools/hf_from_gguf.py" "$(find "$shared/models/SmolLM2-135M-Instruct" -name '*.gguf' | head -n 1)" "$model" float32
for dropped in '' 20-27; do
  "$python" test/lm_eval/compare.py "$model" "$shared/data/tasks" --drop-attn "$dropped" "$@"
done
