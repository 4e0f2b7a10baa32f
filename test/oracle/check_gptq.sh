#!/usr/bin/env bash
# Shows that GPTQ errs as much as a NumPy float64 implementation of the same algorithm, to 1 %: on 20 projections of the
# built-in model, with and without zero points.
# usage: check_gptq.sh PYTHON     (a Python with NumPy; llm-drop built)
set -euo pipefail
cd "$(dirname "$0")/../.."
tiny=(models/tiny-stories models/tiny-stories/calibration.txt)
"$1" test/oracle/check_gptq.py "${tiny[@]}"
"$1" test/oracle/check_gptq.py "${tiny[@]}" --group-size 32 --asymmetric
