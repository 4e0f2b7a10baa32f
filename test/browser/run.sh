#!/usr/bin/env bash
# llm-drop in headless Chromium. Build llm-drop first (npm run build in the project's root).
# CHROMIUM names the browser. @defaultValue Debian's, /usr/bin/chromium; without one, the tests are skipped.
set -euo pipefail
cd "$(dirname "$0")"
[ -e ../../dist/browser.js ] || { echo "test/browser: llm-drop is not built: run npm run build first" >&2; exit 1; }
export CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
[ -x "$CHROMIUM" ] || { echo "skipped: test/browser needs Chromium (CHROMIUM=/path/to/it)" >&2; exit 0; }
npm ci --ignore-scripts --no-audit --no-fund
exec node --test --test-concurrency=1 --test-reporter=spec ./*.test.mjs
