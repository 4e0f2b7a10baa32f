#!/usr/bin/env bash
# Builds the real @tensorflow/tfjs-node-gpu binding on a machine without a GPU. What the package would download itself
# is not needed: libtensorflow comes from the wheel of tensorflow-cpu, which has the same C interface.
#
# Everything lies in .tfjs-wheel/ (1.7 GB, worth a cache in CI), and node_modules only links to it: no other package is
# touched, and after `npm ci` this script links again. The binding speaks Node-API: one build serves every Node.
#
# usage: tools/tfjs/setup.sh [project directory, default: this project]
# needs: pip, unzip, python3, make and a C++ compiler
set -euo pipefail

tensorflow=2.21.0
package=@tensorflow/tfjs-node-gpu
version=4.22.0

cd "${1:-$(dirname "$0")/../..}"
mkdir -p .tfjs-wheel
home=$PWD/.tfjs-wheel
target=$home/node_modules/$package
link=$PWD/node_modules/$package
stamp=$target/.built-$version-tensorflow-$tensorflow

if [ ! -f "$stamp" ]; then
  [ -f "$home/package.json" ] || echo '{ "private": true }' >"$home/package.json"
  npm install --prefix "$home" --ignore-scripts --no-audit --no-fund "$package@$version"

  wheel=$(find "$home" -maxdepth 1 -name "tensorflow_cpu-$tensorflow-*.whl" -print -quit)
  if [ -z "$wheel" ]; then
    pip download --quiet --no-deps --only-binary=:all: --dest "$home" "tensorflow-cpu==$tensorflow"
    wheel=$(find "$home" -maxdepth 1 -name "tensorflow_cpu-$tensorflow-*.whl" -print -quit)
  fi

  # The library and its C headers, under the names that the binding links to.
  unpacked=$(mktemp -d "$home/unpacked.XXXXXX")
  trap 'rm -rf "$unpacked"' EXIT
  unzip -q "$wheel" 'tensorflow/libtensorflow_cc.so.2' 'tensorflow/libtensorflow_framework.so.2' \
    'tensorflow/include/tensorflow/c/*' 'tensorflow/include/tensorflow/core/platform/ctstring*' \
    'tensorflow/include/tsl/platform/ctstring*' 'tensorflow/include/xla/tsl/c/*' -d "$unpacked"
  rm -rf "$target/deps"
  mkdir -p "$target/deps/lib"
  mv "$unpacked"/tensorflow/include "$target/deps/include"
  mv "$unpacked"/tensorflow/*.so.2 "$target/deps/lib/"
  ln -s libtensorflow_cc.so.2 "$target/deps/lib/libtensorflow.so"
  ln -s libtensorflow_cc.so.2 "$target/deps/lib/libtensorflow.so.2"
  ln -s libtensorflow_framework.so.2 "$target/deps/lib/libtensorflow_framework.so"

  # Node's own headers where they lie beside it, or node-gyp downloads them.
  prefix=$(node -p 'path.dirname(path.dirname(process.execPath))')
  [ -f "$prefix/include/node/node_api.h" ] && export npm_config_nodedir=$prefix
  (cd "$target" && "$home/node_modules/.bin/node-pre-gyp" install --build-from-source)
  touch "$stamp"
fi

mkdir -p "$(dirname "$link")"
rm -rf "$link"
ln -s "$(realpath --relative-to="$(dirname "$link")" "$target")" "$link"
echo "$package $version is built and linked"
