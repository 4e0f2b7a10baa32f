#!/usr/bin/env bash
# Builds dist where a source is newer than the last build. Prints nothing, but for errors on standard error.
set -euo pipefail
cd "$(dirname "$0")/.."
built=dist/.built
if [ ! -f "$built" ] || [ -n "$(find src site tsconfig.json tsconfig.build.json -newer "$built" -print -quit)" ]; then
  npm run --silent build 1>&2
fi
