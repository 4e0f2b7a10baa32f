#!/usr/bin/env bash
# The tests of the webgpu backend: the whole contract of backends beside the reference, our own cases of transformers,
# and what WebGPU alone has. On the adapter that is there, else on SwiftShader, a Vulkan driver in software.
# Arguments go to vitest. Skipped, with a line that says so, where no adapter is found.
set -euo pipefail
cd "$(dirname "$0")"
if [ ! -d node_modules/webgpu ] && ! npm ci --silent --ignore-scripts; then
  echo 'skipped: WebGPU, whose package webgpu cannot be installed here'
  exit 0
fi
export LLM_DROP_WEBGPU=$PWD/node_modules/webgpu/index.js

has_adapter() {
  node -e "const gpu = require(process.env.LLM_DROP_WEBGPU).create([]);
    gpu.requestAdapter().then((adapter) => process.exit(adapter ? 0 : 1));" >/dev/null 2>&1
}
if ! has_adapter && [ -x ../../../shared/tools/swiftshader.sh ]; then
  eval "$(../../../shared/tools/swiftshader.sh)"
fi
if ! has_adapter; then
  echo "skipped: WebGPU finds no adapter here (a Vulkan driver is needed, or Debian's chromium for its SwiftShader)"
  exit 0
fi
cd ../..
if [ $# -eq 0 ]; then
  npx vitest run test/backend test/webgpu -t '^webgpu'
  npx vitest run test/model/oracle.test.ts -t '^webgpu.*fixtures'
else
  npx vitest run "$@" -t '^webgpu'
fi
