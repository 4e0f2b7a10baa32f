#!/bin/sh
# The trade-off curve of one model by five methods: attentions dropped by cosine similarity, by both greedy searches, by
# Gate-Norm, and by chance (three seeds), each at 4, 8 and 12, measured on held-out texts. One folder of results; a run
# that is interrupted goes on where it was. What is dropped decides the loss, how much of it the speed: a curve of one
# target has the same speeds for all methods, so they are measured only where SPEED_ROUNDS says how often.
#
#   MODEL=SmolLM2-135M-Instruct CALIBRATION='c4.jsonl wiki-validation.txt' TEXTS='c4.jsonl wiki-test.txt' sh docs/curve.sh
#
# A text may be in both lists: its first SAMPLES rows, among which are all that any method looks at, are not measured.
set -eu

: "${MODEL:?a model folder}" "${CALIBRATION:?texts to choose on, a row of each in turn}" "${TEXTS:?texts to measure on}"
llm_drop=${LLM_DROP:-npm run --silent llm-drop --}
targets=${TARGETS:-attention} counts=${COUNTS:-4,8,12} length=${LENGTH:-1024} rows=${ROWS:-8}
samples=${SAMPLES:-32}              # rows to score on
search_samples=${SEARCH_SAMPLES:-8} # rows to search on: every candidate is run on them at every step
out=${OUT:-curve}
mkdir -p "$out"

curve() {
  name=$1 chosen_on=$2
  shift 2
  echo "$name" >&2
  # Lists of files are split at spaces on purpose.
  $llm_drop sweep "$MODEL" --calibration $CALIBRATION --text $TEXTS --target "$targets" --count "$counts" \
    --samples "$chosen_on" --skip-rows "$samples" --held-out "$rows" --length "$length" \
    --speed-rounds "${SPEED_ROUNDS:-0}" --out "$out/$name.json" --format markdown "$@" >"$out/$name.md"
}

curve cosine "$samples"
curve greedy-loss "$search_samples" --search greedy-loss
curve greedy-kl "$search_samples" --search greedy-kl
curve gate-norm "$samples" --metric gate-norm
for seed in 1 2 3; do curve "random-$seed" "$samples" --metric random --seed "$seed"; done

for table in "$out"/*.md; do
  printf '## %s\n\n' "$(basename "$table" .md)"
  cat "$table"
  echo
done
