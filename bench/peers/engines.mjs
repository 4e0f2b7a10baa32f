// Which engines there are, and how each is started.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.mjs';
import { ggufOf } from './models.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const script = (name) => join(here, 'engines', name);
const major = (node) => execFileSync(node, ['-p', 'process.versions.node.split(".")[0]'], { encoding: 'utf8' }).trim();

/** Node 26: $NODE26, or npm's package of it. */
export function node26() {
  return (
    process.env.NODE26 ??
    execFileSync('npm', ['exec', '--yes', '--package=node@26', '--', 'which', 'node'], {
      encoding: 'utf8',
      cwd: here,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  );
}

/** llm-drop under each Node asked for. */
function llmDrop(o, given, { checks = false, file = 'llmdrop.mjs' } = {}) {
  return [...new Set([process.execPath, ...(o.node26 ? [node26()] : [])])].map((node) => ({
    name: `llm-drop, Node ${major(node)}`,
    checks,
    start: () =>
      new Child('llm-drop', node, [script(file), JSON.stringify({ dist: o.dist, threads: o.threads, ...given })]),
  }));
}

/** Engines that run a whole model: `{ folder, gguf?, type, threads, kv, context, sequences?, python? }`. */
export function modelEngines(o) {
  const gguf = () => o.gguf ?? ggufOf(o.folder, o.type);
  const kv = o.kv === 'float32' ? 'f32' : 'f16';
  const engines = [
    ...llmDrop(o, { folder: o.folder, kv: o.kv, int4: o.int4 }, { checks: true }),
    {
      name: 'llama.cpp',
      checks: true,
      start: () =>
        new Child('llama.cpp', buildDriver(), [
          llamaBinaries(),
          gguf(),
          String(o.threads),
          String(o.context),
          kv,
          String(o.sequences ?? 1),
        ]),
    },
    {
      name: 'node-llama-cpp',
      start: () =>
        new Child('node-llama-cpp', process.execPath, [
          script('nodellamacpp.mjs'),
          JSON.stringify({ gguf: gguf(), threads: o.threads, kv: o.kv, context: o.context }),
        ]),
    },
  ];
  // PyTorch has no int4 of this kind on CPUs.
  const dtypes = o.python && o.type === 'f32' ? ['float32'] : [];
  for (const dtype of dtypes)
    engines.push({
      name: 'transformers',
      checks: true,
      start: () =>
        new Child('transformers', o.python, [
          script('transformers_cpu.py'),
          JSON.stringify({ folder: o.folder, threads: o.threads, dtype }),
        ]),
    });
  return engines.filter(({ name }) => chosen(o, name));
}

/** Engines that score: `{ folder, rows: file, threads, python }`. */
export function scoringEngines({ folder, rows, ...o }) {
  const torch = (name, how) => ({
    name,
    checks: true,
    start: () =>
      new Child(name, o.python, [
        script('scoring_torch.py'),
        JSON.stringify({ folder, rows, threads: o.threads, how }),
      ]),
  });
  return [
    ...llmDrop(o, { folder, rows }, { checks: true, file: 'scoring_llmdrop.mjs' }),
    torch('LLM-Drop on PyTorch', 'passes'),
    torch('hooked PyTorch pass', 'hooked'),
  ];
}

/** Engines that multiply matrices. */
export function productEngines(o) {
  const native = (file) => new Child(file, process.execPath, [script(file), JSON.stringify({ threads: o.threads })]);
  return [
    ...llmDrop(o, { int4: o.int4 }),
    { name: 'onnxruntime-node', start: () => native('onnxruntime.mjs') },
    ...(o.int4 ? [] : [{ name: 'tfjs-wasm', start: () => native('tfjs.mjs') }]),
  ].filter(({ name }) => chosen(o, name));
}

const chosen = ({ engines }, name) =>
  !engines || engines.some((part) => name === part || (part === 'llm-drop' && name.startsWith('llm-drop')));

/** The folder of the libraries that node-llama-cpp ships for this machine, the ones without a GPU. */
function llamaBinaries() {
  const name = `${process.platform === 'darwin' ? 'mac' : 'linux'}-${process.arch}`;
  const folder = join(here, 'node_modules', '@node-llama-cpp', name, 'bins', name);
  if (!existsSync(folder)) throw new Error(`${folder} is missing: run npm ci --ignore-scripts here`);
  return folder;
}

/** Compiles the C driver against those libraries. */
function buildDriver() {
  const binaries = llamaBinaries();
  const output = join(here, 'build', 'llamacpp');
  const libraries = readdirSync(binaries).filter((name) =>
    /^lib(llama(\.v[\d.]+)?|ggml(\.v[\d.]+)?|ggml-base)\.so$/.test(name),
  );
  mkdirSync(dirname(output), { recursive: true });
  execFileSync('gcc', [
    ...['-O2', '-o', output, script('llamacpp.c'), `-L${binaries}`],
    ...libraries.map((name) => `-l:${name}`),
    ...[`-Wl,-rpath,${binaries}`, '-Wl,--allow-shlib-undefined'],
  ]);
  return output;
}
