/**
 * transformers loads `hf` and `hf --zero` exports, and mixtures without some experts, without code of ours, with no key missing or left over, and computes
 * the logits of the model that was exported: within 1e-4 of the largest. Python is named by ORACLE_PYTHON.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  allLogits,
  createEngine,
  dropExperts,
  exportModel,
  Model,
  openModel,
  vocabSize,
  writeRandomModel,
} from './randomModels.mjs';

const python = process.env.ORACLE_PYTHON;
const tolerance = 1e-4;

const theta = 10000;
const base = {
  vocabSize,
  hiddenSize: 48,
  intermediateSize: 80,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 16,
  maxPositionEmbeddings: 128,
};
const models = {
  llama: {
    ...base,
    modelType: 'llama',
    rope: { type: 'llama3', theta, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
  },
  'llama with biases, tied': {
    ...base,
    modelType: 'llama',
    attentionBias: true,
    mlpBias: true,
    tieWordEmbeddings: true,
    rope: { type: 'linear', theta, factor: 2 },
  },
  mistral: { ...base, modelType: 'mistral', slidingWindow: 6, rope: { type: 'default', theta } },
  mixtral: { ...base, modelType: 'mixtral', numLocalExperts: 4, numExpertsPerTok: 2, rope: { type: 'default', theta } },
};
const drops = {
  blocks: { drops: { attention: [0, 2], mlp: [0, 2] } },
  'nothing, zero': { drops: { attention: [], mlp: [] }, zero: true },
  'sub-layers, zero': { drops: { attention: [0, 3], mlp: [1, 3] }, zero: true },
  // The weights of what was dropped are gone, and are made again.
  'sub-layers from a dropped checkpoint, zero': { drops: { attention: [1, 3], mlp: [0, 3] }, zero: true, first: true },
};

/** Mixtures, and the key by which the config of each counts experts. */
const routed = { ...base, numLocalExperts: 5, numExpertsPerTok: 2, rope: { type: 'default', theta } };
const mixtures = [
  ['num_local_experts', { ...routed, modelType: 'mixtral' }],
  [
    'num_experts',
    {
      ...{ ...routed, modelType: 'qwen2_moe' },
      familyKeys: { moe_intermediate_size: 24, shared_expert_intermediate_size: 40, norm_topk_prob: false },
    },
  ],
  [
    'num_experts',
    { ...routed, modelType: 'qwen3_moe', familyKeys: { moe_intermediate_size: 24, norm_topk_prob: true } },
  ],
];

/** The folder of a mixture without two experts of each layer. */
async function fewerExperts(engine, place, config, key, seed) {
  const [model, out] = [join(place, 'model'), join(place, 'fewer')];
  await writeRandomModel(model, config, seed);
  const path = join(model, 'config.json');
  const { num_local_experts: experts, ...keys } = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify({ ...keys, [key]: experts }));
  await dropExperts(model, { count: 2, metric: 'random', seed, out, engine });
  return out;
}

async function logitsOf(engine, folder, dropped, tokens) {
  const { source, description } = await openModel(folder);
  const model = new Model(engine, description, source);
  model.skip(dropped);
  const logits = await allLogits(model, tokens);
  await source.close();
  return logits;
}

describe(
  'hf exports in transformers',
  { skip: python ? false : 'set ORACLE_PYTHON to a Python with torch and transformers' },
  () => {
    it('computes the same logits', async () => {
      const engine = await createEngine('wasm');
      const root = await mkdtemp(join(tmpdir(), 'llm-drop-transformers-'));
      try {
        const jobs = [];
        for (const [name, config] of Object.entries(models))
          for (const [how, { drops: dropped, zero, first }] of Object.entries(drops)) {
            const tokens = Array.from({ length: 12 }, (_, i) => (i * 53 + 7) % vocabSize);
            const place = join(root, String(jobs.length));
            await writeRandomModel(join(place, 'model'), config, jobs.length + 1);
            let source = join(place, 'model');
            if (first) {
              source = join(place, 'dropped');
              await exportModel(join(place, 'model'), { to: 'llm-drop', out: source, drops: dropped, engine });
            }
            const folder = join(place, 'export');
            await exportModel(source, { to: 'hf', out: folder, drops: first ? undefined : dropped, zero, engine });
            const expected = await logitsOf(engine, join(place, 'model'), dropped, tokens);
            jobs.push({ what: `${name}: ${how}`, folder, tokens, out: join(place, 'logits'), expected });
          }
        for (const [key, config] of mixtures) {
          const tokens = Array.from({ length: 12 }, (_, i) => (i * 53 + 7) % vocabSize);
          const place = join(root, String(jobs.length));
          const folder = await fewerExperts(engine, place, config, key, jobs.length + 1);
          const expected = await logitsOf(engine, folder, {}, tokens);
          jobs.push({
            what: `${config.modelType}: fewer experts`,
            folder,
            tokens,
            out: join(place, 'logits'),
            expected,
          });
        }
        const list = join(root, 'jobs.json');
        await writeFile(list, JSON.stringify(jobs.map(({ folder, tokens, out }) => ({ folder, tokens, out }))));
        const script = fileURLToPath(new URL('transformers_logits.py', import.meta.url));
        const { stdout } = await promisify(execFile)(python, [script, list]);
        console.log(`transformers ${stdout.trim()}`);
        for (const { what, out, expected } of jobs) {
          const found = new Float32Array(Uint8Array.from(await readFile(out)).buffer);
          assert.equal(found.length, expected.length, what);
          const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
          const worst = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i])), 0) / largest;
          console.log(`${worst.toExponential(1)} ${what}`);
          assert.ok(worst <= tolerance, `${what}: off by ${worst} of the largest logit`);
        }
      } finally {
        engine.dispose();
        await rm(root, { recursive: true });
      }
    });
  },
);
