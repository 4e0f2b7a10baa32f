/** KL and flips beside their definitions, on logits that are read whole. */
import { expect, it } from 'vitest';
import { createBatch, createEngine } from '../../src/engine/index.js';
import { BaseOutputs, evaluateLoss } from '../../src/evaluate/index.js';
import { createModel, type Model } from '../../src/models/index.js';

const config = {
  modelType: 'llama',
  vocabSize: 19,
  hiddenSize: 16,
  intermediateSize: 24,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
};
const rows = [31, 12].map((length, row) => Int32Array.from({ length }, (_, i) => (7 * i + 5 * row) % 19));

/** Probabilities of the next token behind each of a row's tokens, in float64 from float32 logits. */
async function probabilities(model: Model, row: Int32Array): Promise<number[][]> {
  using _scope = model.engine.scope();
  const logits = await model.engine.readFloats(model.logits(model.forward(createBatch([row]))));
  return Array.from(row, (_, t) => {
    const values = Array.from(logits.subarray(19 * t, 19 * (t + 1)), Math.exp);
    const sum = values.reduce((a, b) => a + b);
    return values.map((value) => value / sum);
  });
}

const best = (values: readonly number[]): number => values.indexOf(Math.max(...values));

it('is what it says of two models', async () => {
  using engine = await createEngine('reference');
  using base = await createModel(config, { seed: 1, engine });
  using model = await createModel(config, { seed: 2, engine });
  const all: { kl: number; same: boolean; now: boolean; before: boolean }[] = [];
  for (const row of rows) {
    const [p, q] = [await probabilities(base, row), await probabilities(model, row)];
    for (let t = 0; t + 1 < row.length; t++)
      all.push({
        kl: p[t].reduce((sum, value, v) => sum + value * Math.log(value / q[t][v]), 0),
        same: best(p[t]) === best(q[t]),
        now: best(q[t]) === row[t + 1],
        before: best(p[t]) === row[t + 1],
      });
  }
  const share = (which: (one: (typeof all)[number]) => boolean): number => all.filter(which).length / all.length;
  const loss = await evaluateLoss(base, rows);
  using outputs = await BaseOutputs.of(base, rows);
  const { divergence } = await outputs.compare(model);
  expect(divergence.mean).toBeCloseTo(all.reduce((sum, { kl }) => sum + kl, 0) / all.length, 6);
  const sorted = all.map(({ kl }) => kl).sort((a, b) => a - b);
  // 41 predictions: 99 % lie at place 39.6.
  expect(divergence.p99).toBeCloseTo(sorted[39] + 0.6 * (sorted[40] - sorted[39]), 6);
  expect(divergence.agreement).toBe(share(({ same }) => same));
  expect(divergence.gained).toBe(share(({ now, before }) => now && !before));
  expect(divergence.lost).toBe(share(({ now, before }) => before && !now));
  expect(divergence.base.loss).toBeCloseTo(loss.loss, 5);
});

it('of a model from itself is nothing', async () => {
  using engine = await createEngine('reference');
  using model = await createModel(config, { seed: 1, engine });
  using same = await createModel(config, { seed: 1, engine });
  using outputs = await BaseOutputs.of(same, rows);
  const { divergence } = await outputs.compare(model);
  expect(divergence).toMatchObject({ mean: 0, p99: 0, agreement: 1, gained: 0, lost: 0 });
});
