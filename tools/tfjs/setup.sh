#!/usr/bin/env bash
# Builds the real @tensorflow/tfjs-node-gpu binding on a machine without a GPU, into this project's node_modules, for
# the Node that runs it. Its own download is skipped: libtensorflow comes from the wheel of tensorflow-cpu, which has
# the same C interface. Nothing is done where the binding is already built for this Node's ABI.
#
# usage: tools/tfjs/setup.sh [project directory, default: this project]
# needs: pip, unzip, python3 and a C++ compiler; about 4 GB of disk. The wheel is kept in .tfjs-wheel/.
set -euo pipefail

tensorflow=tensorflow-cpu==2.21.0
package=@tensorflow/tfjs-node-gpu
version=4.22.0

cd "${1:-$(dirname "$0")/../..}"
target=$PWD/node_modules/$package
wheels=$PWD/.tfjs-wheel
stamp=$target/.built-$version-abi$(node -p process.versions.modules)-${tensorflow//==/-}

if [ -f "$stamp" ]; then
  echo "$package $version is already built for Node ABI $(node -p process.versions.modules)"
  exit 0
fi

# Lists what node_modules holds now as well: npm would otherwise prune what package.json does not name.
if [ ! -f "$target/package.json" ]; then
  npm install --no-save --no-package-lock --ignore-scripts --no-audit --no-fund "$package@$version"
fi

# The library and the C headers.
if [ ! -e "$target/deps/lib/libtensorflow.so" ]; then
  if ! compgen -G "$wheels/*.whl" >/dev/null; then
    mkdir -p "$wheels"
    pip download --quiet --no-deps --only-binary=:all: --dest "$wheels" "$tensorflow"
  fi
  rm -rf "$target/deps"
  mkdir -p "$target/deps/lib"
  unpacked=$(mktemp -d "$wheels/unpacked.XXXXXX")
  trap 'rm -rf "$unpacked"' EXIT
  unzip -q "$wheels"/*.whl 'tensorflow/libtensorflow_cc.so.2' 'tensorflow/libtensorflow_framework.so.2' \
    'tensorflow/include/tensorflow/c/*' 'tensorflow/include/tensorflow/core/platform/ctstring*' \
    'tensorflow/include/tsl/platform/ctstring*' 'tensorflow/include/xla/tsl/c/*' -d "$unpacked"
  mv "$unpacked"/tensorflow/include "$target/deps/include"
  mv "$unpacked"/tensorflow/*.so.2 "$target/deps/lib/"
  ln -s libtensorflow_cc.so.2 "$target/deps/lib/libtensorflow.so.2"
  ln -s libtensorflow_framework.so.2 "$target/deps/lib/libtensorflow_framework.so"
  ln -s libtensorflow_cc.so.2 "$target/deps/lib/libtensorflow.so"
fi

# The binding itself, in lib/napi-v8: one build serves every Node of that interface.
(cd "$target" && npx --no-install node-pre-gyp install --build-from-source)
touch "$stamp"
