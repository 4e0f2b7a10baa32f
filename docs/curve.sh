#!/bin/sh
# The trade-off curve of one model by six methods: attentions dropped by cosine similarity, by chance (three seeds), by
# Gate-Norm, and by both greedy searches, each at 4, 8 and 12, measured on held-out texts. One folder of results; a run
# that is interrupted goes on where it was.
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
  $llm_drop sweep "$MODEL" --calibration $CALIBRATION --text $TEXTS --targets "$targets" --counts "$counts" \
    --samples "$chosen_on" --skip-rows "$samples" --rows "$rows" --length "$length" --out "$out/$name.json" --format markdown "$@" \
    >"$out/$name.md"
}

curve cosine "$samples"
for seed in 1 2 3; do curve "random-$seed" "$samples" --metric random --seed "$seed"; done
curve gate-norm "$samples" --metric gate-norm
curve greedy-loss "$search_samples" --search greedy-loss
curve greedy-kl "$search_samples" --search greedy-kl

for table in "$out"/*.md; do
  printf '## %s\n\n' "$(basename "$table" .md)"
  cat "$table"
  echo
done
