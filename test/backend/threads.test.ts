import { availableParallelism } from 'node:os';
import { expect, it, vi } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { UserError } from '../../src/engine/errors.js';
import { ThreadPool } from '../../src/engine/wasm/runtime/threadPool.js';
import { detectTier } from '../../src/engine/wasm/runtime/tier.js';
import type { Tensor } from '../../src/engine/tensor.js';
import { floats, random, weight } from '../support/backends.js';
import { int4RowsOf, rowsSource } from '../support/int4Model.js';

const [hidden, inner, vocabulary, heads, keyValueHeads, headDim] = [96, 204, 301, 6, 3, 16];

/** Results of every kernel that threads share, long and short inputs, from weights that come last to no whole panel. */
async function everything(engine: Engine): Promise<number[][]> {
  const results: number[][] = [];
  const keep = async (t: Tensor): Promise<void> => void results.push([...(await engine.readFloats(t))]);
  const format = { groupSize: 32, zeroPoints: true } as const;
  const int4 = await engine.pack(
    rowsSource('int4', [inner, hidden], format, int4RowsOf(4, inner, hidden, format)),
    'linear',
  );
  const matrix = (seed: number, rows: number, depth: number, dtype: 'float32' | 'bfloat16' = 'float32') =>
    weight(engine, random(seed, [rows, depth]), [rows, depth], 'linear', dtype);
  const [gate, up, down] = [
    await matrix(5, inner, hidden),
    await matrix(6, inner, hidden, 'bfloat16'),
    await matrix(7, hidden, inner),
  ];
  const head = await matrix(8, vocabulary, hidden);
  const norm = { gain: floats(engine, 9, [hidden]), epsilon: 1e-5 };
  for (const dtype of ['float32', 'float16'] as const) {
    const cache = engine.createCache({ layers: [0], slots: 1, capacity: 300, keyValueHeads, headDim, dtype });
    for (const [start, tokens] of [
      [0, 203],
      [203, 1],
      [204, 3],
    ]) {
      const x = floats(engine, tokens, [tokens, hidden]);
      for (const y of engine.linear(x, [{ weight: up }, { weight: gate }, { weight: int4 }], { norm })) await keep(y);
      const mlp = { gate: { weight: gate }, up: { weight: up }, down: { weight: down } };
      await keep(engine.gatedMlp(x, mlp, { norm, add: x }));
      const [q, k, v] = [heads, keyValueHeads, keyValueHeads].map((of, i) =>
        floats(engine, 20 + i, [tokens, of * headDim]),
      );
      const batch = {
        tokens: new Int32Array(tokens),
        sequences: [{ slot: 0, start, length: tokens }],
        positions: Int32Array.from({ length: tokens }, (_, i) => start + i),
      };
      await keep(
        engine.attention({ q, k, v, cache, layer: 0, batch, spec: { heads, keyValueHeads, headDim, scale: 0.25 } }),
      );
      cache.advance(batch);
      await keep(engine.crossEntropy(x, { weight: head, norm }, new Int32Array(tokens).fill(7)));
      await keep(engine.divergence(x, floats(engine, 30, [tokens, hidden]), { weight: head, norm }));
      const sums = engine.accumulator(hidden * hidden);
      engine.gram(x, sums);
      engine.cosine(x, floats(engine, 31, [tokens, hidden]), sums, 1);
      results.push([...(await engine.readAccumulator(sums))]);
    }
  }
  return results;
}

it('results are the same bit for bit with any number of threads', async () => {
  const results: number[][][] = [];
  for (const threads of [1, 2, 3]) {
    using engine = await createEngine('wasm', { threads });
    await everything(engine);
    results.push(await everything(engine));
  }
  for (const other of results.slice(1)) expect(other).toEqual(results[0]);
});

it('memory grows while workers run', async () => {
  using engine = await createEngine('wasm', { threads: 2 });
  const w = await weight(engine, random(1, [256, 256]), [256, 256], 'linear');
  let expected: Float32Array | undefined;
  for (let i = 0; i < 12; i++) {
    const scope = engine.scope();
    const large = engine.zeros([700_000 * i + 1]);
    const y = await engine.readFloats(engine.linear(floats(engine, 2, [64, 256]), [{ weight: w }])[0]);
    expect(y).toEqual((expected ??= y));
    expect(large.size).toBe(700_000 * i + 1);
    if (i % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    scope.dispose();
  }
});

it('a failure on another thread is an error on the main one', async () => {
  const kernel = {
    id: 0,
    parameters: {},
    run: () => {
      for (const end = performance.now() + 1; performance.now() < end;);
    },
  };
  // The worker asks for a module that never comes.
  const pool = new ThreadPool(2, [], [kernel]);
  const task = { units: 50, chunk: 1, calls: [{ kernel, values: [] }], work: 1e9 };
  expect(() => {
    for (const end = performance.now() + 20_000; performance.now() < end;) pool.run([task]);
  }).toThrow(/a thread of the wasm backend failed/);
  pool.dispose();
});

it('numbers of threads and tiers are checked', async () => {
  for (const threads of [0, 1.5, Number.NaN])
    await expect(createEngine('wasm', { threads })).rejects.toThrow(UserError);
  vi.stubEnv('LLM_DROP_WASM_TIER', 'best');
  expect(() => detectTier({})).toThrow(/LLM_DROP_WASM_TIER is 'best'/);
  vi.stubEnv('LLM_DROP_WASM_TIER', 'baseline');
  expect(detectTier({ v8Flags: true })).toBe('baseline');
  vi.unstubAllEnvs();
});

it('are no more than are of use', async () => {
  using engine = await createEngine('wasm', { threads: 100_000 });
  expect(engine.backend.abilities.threads).toBe(Math.max(16, availableParallelism()));
});
