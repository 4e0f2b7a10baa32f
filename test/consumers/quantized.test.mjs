/**
 * What `writeQuantized` writes, read by other programs: the compressed-tensors package, and readers of AWQ and GPTQ in
 * Python, decode the very values that we do; transformers in float32 computes the logits of our exact mode within 1e-3
 * of the largest. On tiny-stories the five best log-probabilities after a token are those of our fast mode within 5e-2
 * on average over the tokens of a story; single ones are further off, by 0.1 or so (printed), since activations have 8
 * bits there. A random model has no such bound: its experts change with the smallest difference. Whole models, and `hf`
 * exports of dropped ones. Python is named by ORACLE_PYTHON.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  createEngine,
  exportModel,
  loadTokenizer,
  logitsOfFolder,
  openCheckpoint,
  openModel,
  rtn,
  softmax,
  tensorOfSource,
  vocabSize,
  writeQuantized,
  writeRandomModel,
  writeSafetensors,
} from './randomModels.mjs';

const python = process.env.ORACLE_PYTHON;
const tinyStories = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url));

const base = {
  vocabSize,
  hiddenSize: 64,
  intermediateSize: 128,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 16,
  maxPositionEmbeddings: 128,
  rope: { type: 'default', theta: 10000 },
};
const models = {
  llama: { ...base, modelType: 'llama' },
  'llama with biases, tied': {
    ...base,
    modelType: 'llama',
    attentionBias: true,
    mlpBias: true,
    tieWordEmbeddings: true,
  },
  mistral: { ...base, modelType: 'mistral', slidingWindow: 6 },
  mixtral: { ...base, modelType: 'mixtral', numLocalExperts: 4, numExpertsPerTok: 2 },
};
const formats = ['awq', 'gptq', 'compressed-tensors'];
const projection = /\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|w1|w2|w3)\.weight$/;

async function quantize(folder, out, format, groupSize, symmetric) {
  const model = await openModel(folder);
  const replaced = (name) =>
    projection.test(name) ? rtn(model.source.source(name), { groupSize, symmetric }) : undefined;
  await writeQuantized(model, out, { format, groupSize, symmetric, replaced });
  await model.source.close();
}

/** What the integers of a folder stand for, as we decode them. */
async function writeValues(folder, path) {
  const checkpoint = await openCheckpoint(folder);
  const names = checkpoint.tensorNames().filter((name) => checkpoint.int4(name));
  await writeSafetensors(
    path,
    names.map((name) => tensorOfSource(checkpoint.source(name))),
  );
  await checkpoint.close();
}

const largest = (values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** How far log-probabilities are off after each token: the furthest of the five best. */
const bestOff = (found, expected, vocabulary) =>
  Array.from({ length: expected.length / vocabulary }, (_, at) => {
    const [a, b] = [found, expected].map((logits) =>
      softmax(logits.slice(at * vocabulary, (at + 1) * vocabulary)).map(Math.log),
    );
    const best = b.map((_, id) => id).sort((i, j) => b[j] - b[i]);
    return Math.max(...best.slice(0, 5).map((id) => Math.abs(a[id] - b[id])));
  });

describe(
  'quantized folders in other programs',
  { skip: python ? false : 'set ORACLE_PYTHON to a Python with torch, transformers and compressed-tensors' },
  () => {
    it('are decoded to the same values and compute the same', async () => {
      const engines = { exact: await createEngine('wasm', { int4: 'exact' }), fast: await createEngine('wasm') };
      const root = await mkdtemp(join(tmpdir(), 'llm-drop-quantized-'));
      const jobs = [];
      const add = async (what, folder, story) => {
        const place = join(root, String(jobs.length));
        await mkdir(place);
        const tokens = story ?? Array.from({ length: 12 }, (_, i) => (i * 53 + 7) % vocabSize);
        const [values, out] = [join(place, 'values.safetensors'), join(place, 'logits')];
        await writeValues(folder, values);
        const exact = await logitsOfFolder(engines.exact, folder, tokens);
        const fast = story && (await logitsOfFolder(engines.fast, folder, tokens));
        jobs.push({ what, folder, values, tokens, out, exact, fast });
      };
      try {
        let seed = 0;
        for (const [name, config] of Object.entries(models)) {
          const folder = join(root, `model-${++seed}`);
          await writeRandomModel(folder, config, seed);
          for (const format of formats)
            for (const symmetric of [true, false]) {
              const what = `${name}: ${format}, ${symmetric ? 'symmetric' : 'asymmetric'}`;
              const out = `${folder}-${format}-${symmetric}`;
              await quantize(folder, out, format, symmetric ? 32 : 64, symmetric);
              await add(what, out);
              if (name === 'llama with biases, tied') continue;
              const drops = { attention: [0, 1], mlp: [1, 2] };
              await exportModel(out, { to: 'hf', zero: true, drops, out: `${out}-zero`, engine: engines.exact });
              await add(`${what}, modules zeroed`, `${out}-zero`);
              const blocks = { attention: [1], mlp: [1] };
              await exportModel(out, { to: 'hf', drops: blocks, out: `${out}-blocks`, engine: engines.exact });
              await add(`${what}, a block dropped`, `${out}-blocks`);
            }
        }
        const tokenizer = await loadTokenizer(tinyStories);
        const story = [...tokenizer.encode('Once upon a time, there was a little girl named Lily. She liked to')];
        for (const format of formats)
          for (const symmetric of [true, false]) {
            const out = join(root, `tiny-stories-${format}-${symmetric}`);
            await quantize(tinyStories, out, format, 128, symmetric);
            await add(`tiny-stories: ${format}, ${symmetric ? 'symmetric' : 'asymmetric'}`, out, story);
            const drops = { attention: [3, 7], mlp: [5] };
            await exportModel(out, { to: 'hf', zero: true, drops, out: `${out}-zero`, engine: engines.exact });
            await add(`tiny-stories: ${format}, modules zeroed`, `${out}-zero`, story);
          }
        const list = join(root, 'jobs.json');
        await writeFile(
          list,
          JSON.stringify(jobs.map(({ folder, values, tokens, out }) => ({ folder, values, tokens, out }))),
        );
        const script = fileURLToPath(new URL('quantized_check.py', import.meta.url));
        const { stdout } = await promisify(execFile)(python, [script, list]);
        console.log(stdout.trim());
        for (const { what, out, tokens, exact, fast } of jobs) {
          const found = new Float32Array(Uint8Array.from(await readFile(out)).buffer);
          assert.equal(found.length, exact.length, what);
          const off = largest(found.map((x, i) => x - exact[i])) / largest(exact);
          console.log(`${off.toExponential(1)} ${what}`);
          assert.ok(off <= 1e-3, `${what}: exact logits are off by ${off} of the largest`);
          if (!fast) continue;
          const best = bestOff(fast, found, found.length / tokens.length);
          const mean = best.reduce((sum, x) => sum + x, 0) / best.length;
          console.log(`  fast: five best off by ${mean.toFixed(3)} on average, by ${largest(best).toFixed(3)} at most`);
          assert.ok(mean <= 5e-2, `${what}: fast log-probabilities are off by ${mean}`);
        }
      } finally {
        for (const engine of Object.values(engines)) engine.dispose();
        await rm(root, { recursive: true });
      }
    });
  },
);
