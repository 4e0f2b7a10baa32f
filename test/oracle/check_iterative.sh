#!/usr/bin/env bash
# Shows that iterative drop equals a re-computation with transformers: lists equal, scores to rounding, on tiny models
# of random weights, the built-in model and, where ../shared is there, stories260K.
# usage: check_iterative.sh PYTHON     (a Python with torch and transformers; llm-drop built)
set -euo pipefail
cd "$(dirname "$0")/../.."
text=models/tiny-stories/calibration.txt
models=(test/fixtures/cases/mistral "$text" test/fixtures/cases/mixtral "$text" models/tiny-stories "$text")
if [ -d ../shared/models/stories260K ]; then
  models+=(../shared/models/stories260K ../shared/data/tinystories.txt)
else
  echo 'skipped: stories260K, which lies in ../shared'
fi
"$1" test/oracle/check_iterative.py "${models[@]}"
