#!/usr/bin/env bash
# Packs the package and installs it in an empty TypeScript project, as strict as TypeScript is and without skipLibCheck:
# what users write with it compiles by both ways of finding modules, and runs.
# needs: npm and its registry for TypeScript, fast-check and the types of Node, in the lockfile's versions.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
root=$(cd ../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

locked() {
  node -p 'require(process.argv[1]).packages["node_modules/" + process.argv[2]].version' "$root/package-lock.json" "$1"
}

(cd "$root" && npm pack --silent --pack-destination "$work" >/dev/null)
cd "$work"
echo '{ "private": true, "type": "module" }' >package.json
npm install --loglevel error --no-audit --no-fund --ignore-scripts ./llm-drop-*.tgz \
  "typescript@$(locked typescript)" "@types/node@$(locked @types/node)" "fast-check@$(locked fast-check)"
cp "$here"/*.ts .

# Compiles a program by a way of finding modules, with the types of these packages known without an import, and runs it.
compile_and_run() {
  local program=$1 resolution=$2 types=$3 module=nodenext
  [ "$resolution" = bundler ] && module=esnext
  cat >tsconfig.json <<END_OF_CONFIG
{
  "compilerOptions": {
    "strict": true,
    "skipLibCheck": false,
    "target": "es2022",
    "lib": ["es2023", "esnext.disposable", "dom"],
    "module": "$module",
    "moduleResolution": "$resolution",
    "types": [$types],
    "outDir": "$resolution"
  },
  "files": ["$program.ts"]
}
END_OF_CONFIG
  npx tsc --project tsconfig.json
  node "$resolution/$program.js"
  echo "$program: compiles by $resolution, and runs"
}

for resolution in nodenext bundler; do
  compile_and_run library "$resolution" '"node"'
  compile_and_run testing "$resolution" '"node"'
  # Where package.json exports it. The types of Node must not be needed.
  if node -e 'process.exit(require(process.argv[1]).exports["./engine"] ? 0 : 1)' "$root/package.json"; then
    compile_and_run engine "$resolution" ''
  fi
done
