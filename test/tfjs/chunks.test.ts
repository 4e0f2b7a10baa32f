import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch } from '../../src/engine/index.js';
import { attention } from '../../src/engine/tfjs/attention.js';
import { FloatMatrix } from '../../src/engine/tfjs/floatMatrix.js';
import { loadTfjs, type Tensor, type Tf } from '../../src/engine/tfjs/load.js';
import { rowsAt } from '../../src/engine/tfjs/rows.js';
import { TensorStorage, WeightStorage, type Live } from '../../src/engine/tfjs/storage.js';
import { crossEntropy } from '../../src/engine/tfjs/transformer.js';
import { values } from '../support/forward.js';

const choice = process.env.LLM_DROP_TFJS || 'cpu';
const live: Live = new Set();
let tf: Tf;

beforeAll(async () => {
  ({ tf } = await loadTfjs(choice));
});

afterAll(() => {
  for (const storage of live) storage.free();
});

async function difference(make: () => [Tensor, Tensor]): Promise<number> {
  const largest = tf.tidy(() => {
    const [a, b] = make();
    expect(a.shape).toEqual(b.shape);
    return tf.max(tf.abs(tf.sub(a, b)));
  });
  const [off] = await largest.data();
  largest.dispose();
  return off;
}

describe(`tfjs on ${choice}: work cut into pieces`, () => {
  it.each([undefined, 3])('gives the same attention, window %s', async (window) => {
    const slopes = { storage: new TensorStorage(live, tf.keep(tf.tensor1d([0.5, 0.25, 0.1, 0]))), offset: 0 };
    const spec = {
      ...{ heads: 4, keyValueHeads: 2, headDim: 4, scale: 0.5, window, softCap: 2 },
      slopes: { ...slopes, shape: [4], dtype: 'float32' as const },
    };
    const [q, k, v] = [
      tf.tensor2d(values(176, 1), [11, 16]),
      tf.tensor2d(values(88, 2), [11, 8]),
      tf.tensor2d(values(88, 3), [11, 8]),
    ];
    const batch = createBatch([new Int32Array(7), new Int32Array(4)]);
    const run = (budget?: number): Tensor => attention(tf, q, k, v, undefined, batch, spec, budget);
    expect(await difference(() => [run(), run(60)])).toBeLessThan(1e-6); // two and three queries at a time
    expect(await difference(() => [run(), run(1)])).toBeLessThan(1e-6);
    tf.dispose([q, k, v]);
  });

  it('gives the same losses', async () => {
    const [h, w] = [tf.tensor2d(values(40, 1), [5, 8]), tf.tensor2d(values(152, 2), [19, 8])];
    const head = { weight: { storage: new WeightStorage(live, [new FloatMatrix(tf, tf.keep(w))]), shape: [19, 8] } };
    const run = (budget?: number): Tensor => crossEntropy(tf, h, head, Int32Array.from([3, -1, 0, 18, 7]), budget);
    expect(await difference(() => [run(), run(40)])).toBeLessThan(1e-6);
    expect(await difference(() => [run(), run(1)])).toBeLessThan(1e-6);
    h.dispose();
  });

  it('gives the rows that were asked for, few or many', async () => {
    const table = tf.tensor2d(values(300, 1), [100, 3]);
    const many = Int32Array.from({ length: 80 }, (_, i) => (i * 37) % 100);
    for (const indices of [Int32Array.from([4, 5, 6, 2, 2]), many, new Int32Array(0)]) {
      const rows = tf.tidy(() => rowsAt(tf, table, indices));
      const all = await table.data();
      expect(rows.shape).toEqual([indices.length, 3]);
      expect([...(await rows.data())]).toEqual([...indices].flatMap((row) => [...all.slice(3 * row, 3 * row + 3)]));
      rows.dispose();
    }
    table.dispose();
  });
});
