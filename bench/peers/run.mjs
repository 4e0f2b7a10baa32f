// llm-drop beside other engines: node run.mjs --help
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { modelEngines, productEngines } from './engines.mjs';
import { shapes, syntheticFolder } from './models.mjs';
import { interleave, machine } from './rounds.mjs';
import { describeMachine, runMarkdown } from './tables.mjs';
import { columnOf, columns, fillResults } from './targets.mjs';

const help = `node run.mjs OPTIONS
  what to run
    --shape ${Object.keys(shapes).join('|')}      a synthetic model of this shape (default: 135m)
    --model DIR          a Llama's Hugging Face folder in its place, or with --type stored a GGUF file
    --gguf FILE          what llama.cpp loads, in place of the folder converted
    --type f32|q4_0|stored   all matrices, the head too (default: q4_0); stored: as in the GGUF file that --model names
    --products f32|int4  single matrix products, beside onnxruntime-node and tfjs-wasm
    --all                all runs of RESULTS.md; --smollm2 DIR is SmolLM2-135M's folder
  how
    --rounds N           interleaved rounds (default: 9)
    --threads N          of each engine (default: 2)
    --prefill N --decode N --depth N   tokens (default: 512, 64, 0)
    --kv float32|float16 keys and values, of all engines (default: float16 for q4_0, float32 for f32)
    --node26             llm-drop under Node 26 too: $NODE26, or npm's node@26
    --python FILE        a Python with torch and transformers, for f32 (default: $PYTHON)
    --engines A,B        only these: llm-drop, llama.cpp, node-llama-cpp, transformers, onnxruntime-node, tfjs-wasm
    --dist DIR           llm-drop, built (default: ../../dist)
  what comes of it
    --json FILE          the run as JSON (- for stdout, in place of Markdown)
    --write FILE         with --all: fill in this Markdown file`;

const text = { type: 'string' };
const { values: given } = parseArgs({
  options: {
    ...{ shape: text, model: text, gguf: text, type: text, products: text, all: { type: 'boolean' }, smollm2: text },
    ...{
      rounds: text,
      threads: text,
      prefill: text,
      decode: text,
      depth: text,
      kv: text,
      node26: { type: 'boolean' },
      python: text,
      engines: text,
    },
    ...{ dist: text, json: text, write: text, help: { type: 'boolean' } },
  },
});

const here = fileURLToPath(new URL('.', import.meta.url));
const say = (line) => process.stderr.write(`${line}\n`);

const how = {
  rounds: Number(given.rounds ?? 9),
  threads: Number(given.threads ?? 2),
  node26: given.node26 || given.all,
  python: given.python ?? process.env.PYTHON,
  engines: given.engines?.split(','),
  dist: resolve(given.dist ?? join(here, '../../dist')),
};

/** One model on all engines that run models. */
async function modelRun({ title, folder, gguf, type }) {
  if (!['f32', 'q4_0', 'stored'].includes(type)) throw new Error(`--type must be f32, q4_0 or stored, found '${type}'`);
  const { prefill = 512, decode = 64, depth = 0 } = given;
  const kv = given.kv ?? (type === 'f32' ? 'float32' : 'float16');
  const context = Math.ceil((Number(depth) + Math.max(Number(prefill), Number(decode)) + 1) / 256) * 256;
  const at = Number(depth) ? ` at ${depth}` : '';
  const tests = {
    [`prefill ${prefill}${at}`]: `prefill ${prefill} ${depth}`,
    [`decode ${decode}${at}`]: `decode ${decode} ${depth}`,
  };
  // Q4_0 is int4 in groups of 32.
  const engines = modelEngines({
    ...how,
    folder,
    gguf: gguf && resolve(gguf),
    type,
    kv,
    context,
    int4: type === 'q4_0' ? 32 : undefined,
  });
  return {
    ...(await run(title, engines, tests, 'check 16')),
    model: `${basename(folder)}${gguf ? `, llama.cpp ${basename(gguf)}` : ''}, ${type}`,
    type,
    kv,
    over: 'llama.cpp',
    unit: 'tokens/s',
  };
}

/** Rows, depth, columns of products. */
const products = [
  [512, 2048, 2048],
  [128, 576, 1536],
  [1, 4096, 4096],
  [1, 576, 1536],
];

async function productRun(type) {
  if (type !== 'f32' && type !== 'int4') throw new Error(`--products must be f32 or int4, found '${type}'`);
  const tests = Object.fromEntries(products.map((sizes) => [sizes.join(' x '), `gemm ${type} ${sizes.join(' ')}`]));
  const engines = productEngines({ ...how, int4: type === 'int4' ? 32 : undefined });
  return {
    ...(await run(`products ${type}`, engines, tests)),
    model: `x [m, k] w [k, n], ${type}`,
    type,
    over: 'onnxruntime-node',
    unit: 'GFLOP/s',
  };
}

async function run(title, engines, tests, check) {
  if (!existsSync(join(how.dist, 'index.js')))
    throw new Error(`${how.dist} is not there: npm ci && npm run build in the root first`);
  say(`== ${title}`);
  const { rounds, threads } = how;
  return {
    title,
    date: new Date().toISOString(),
    ...machine(),
    rounds,
    threads,
    tests,
    engines: await interleave(engines, tests, { rounds, check, say }),
  };
}

/** What the targets need. A run that fails is told, and the others go on. */
async function allRuns() {
  const smollm2 = given.smollm2 ?? join(here, '../models/SmolLM2-135M');
  const synthetic = (shape, type) => () =>
    modelRun({ title: `${shape} ${type}`, folder: syntheticFolder(shape), type });
  const each = [
    synthetic('135m', 'q4_0'),
    synthetic('135m', 'f32'),
    synthetic('1b', 'q4_0'),
    async () => {
      if (!existsSync(smollm2)) throw new Error(`SmolLM2 f32: ${smollm2} is not there (README.md says how to make it)`);
      return modelRun({ title: 'SmolLM2 f32', folder: smollm2, type: 'f32' });
    },
    () => productRun('f32'),
    () => productRun('int4'),
  ];
  const runs = [];
  for (const one of each)
    await one().then(
      (done) => runs.push(done),
      (error) => say(`FAILED: ${error.message}`),
    );
  return runs;
}

/** Keeps each column's latest results beside this file, and fills all columns in. */
function write(path, runs) {
  const own = columnOf(machine());
  const file = (column) => join(here, 'results', `${column}.json`);
  mkdirSync(join(here, 'results'), { recursive: true });
  const read = (column) => (existsSync(file(column)) ? JSON.parse(readFileSync(file(column), 'utf8')) : undefined);
  const earlier = (read(own)?.runs ?? []).filter(({ title }) => !runs.some((run) => run.title === title));
  writeFileSync(file(own), `${JSON.stringify({ machine: machine(), runs: [...runs, ...earlier] }, null, 2)}\n`);
  const results = Object.fromEntries(Object.keys(columns).map((column) => [column, read(column)]));
  writeFileSync(path, fillResults(readFileSync(path, 'utf8'), results));
}

if (given.help) console.log(help);
else {
  const folder = given.model ? resolve(given.model) : undefined;
  const type = given.type ?? 'q4_0';
  const shape = given.shape ?? '135m';
  const one = () =>
    given.products
      ? productRun(given.products)
      : modelRun({
          title: `${given.model ? basename(folder) : shape} ${type}`,
          folder: folder ?? syntheticFolder(shape),
          gguf: given.gguf ?? (type === 'stored' ? given.model : undefined),
          type,
        });
  const runs = given.all ? await allRuns() : [await one()];
  const json = JSON.stringify(given.all ? runs : runs[0], null, 2);
  if (given.json && given.json !== '-') {
    mkdirSync(dirname(resolve(given.json)), { recursive: true });
    writeFileSync(given.json, `${json}\n`);
  }
  if (given.json === '-') console.log(json);
  else
    console.log(
      [`Processor: ${describeMachine(machine())}`, ...runs.flatMap((run) => ['', ...runMarkdown(run)])].join('\n'),
    );
  const disturbed = runs.filter(({ engines }) =>
    engines.some(({ tests }) => Object.values(tests).some(({ others }) => others > 0.1)),
  );
  for (const { title } of disturbed)
    say(`${title}: other programs were busy meanwhile; measure again on a quiet machine`);
  if (given.write) write(given.write, runs);
}
