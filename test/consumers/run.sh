#!/usr/bin/env bash
# Runs other programs on what llm-drop exports. Build llm-drop first (npm run build in the project's root).
# ORACLE_PYTHON names a Python with torch, transformers and compressed-tensors; without it, their tests are skipped.
set -euo pipefail
cd "$(dirname "$0")"
[ -e "${LLM_DROP_DIST:-../../dist}/export/index.js" ] || { echo "test/consumers: llm-drop is not built: run npm run build first" >&2; exit 1; }
# package.json overrides the platforms other than linux-x64, whose packages are not all published in this version.
npm ci --ignore-scripts --omit=optional --no-audit --no-fund
[ -n "${ORACLE_PYTHON:-}" ] || echo "skipped: transformers (set ORACLE_PYTHON to a Python with torch, transformers and compressed-tensors)" >&2
exec node --test --test-concurrency=1 --test-reporter=spec ./*.test.mjs
