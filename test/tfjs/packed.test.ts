/** What TensorFlow's own operations give over those of TensorFlow.js: small weights, and experts that cost nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arraySource, createBatch, Engine, type Packable } from '../../src/engine/index.js';
import { loadTfjs, type Tf } from '../../src/engine/tfjs/load.js';
import { createTfjsBackend } from '../../src/engine/tfjs/tfjsBackend.js';
import { int8, rtn } from '../../src/quant/index.js';
import { createModel, generate } from '../../src/models/index.js';
import { values } from '../support/forward.js';

const choice = process.env.LLM_DROP_TFJS || 'cpu';
const native = choice.startsWith('node');
if (!native) console.warn('skipped: operations of TensorFlow itself (LLM_DROP_TFJS=node-gpu runs them)');
let tf: Tf;
let engine: Engine;

beforeAll(async () => {
  ({ tf } = await loadTfjs(choice));
  engine = new Engine(await createTfjsBackend({ tfjs: choice }));
});
afterAll(() => engine.dispose());

const [rows, width] = [24, 256];
const weights = arraySource(values(rows * width, 5), [rows, width]);
const as = (dtype: 'bfloat16' | 'float16'): Packable => arraySource(values(rows * width, 5), [rows, width], { dtype });

describe.skipIf(!native)(`tfjs on ${choice}: weights stay small`, () => {
  const int4 = (groupSize: 32 | 64 | 128, symmetric: boolean): Packable => rtn(weights, { groupSize, symmetric });
  it.each<[name: string, source: () => Packable, bits: number]>([
    ['bfloat16', () => as('bfloat16'), 16],
    ['float16', () => as('float16'), 16],
    ['int8 in groups of 32', () => int8(weights), 8 + 16 / 32],
    ['int4 in groups of 32', () => int4(32, true), 4 + 16 / 32],
    ['int4 in groups of 32 with zero points', () => int4(32, false), 4 + 24 / 32],
    ['int4 in groups of 128', () => int4(128, true), 4 + 16 / 128],
  ])('%s', async (_, source, bits) => {
    using held = await engine.pack(source(), 'both');
    expect(held.bytes).toBe((rows * width * bits) / 8);
  });

  it('and large ones are unpacked some rows at a time', async () => {
    const [many, narrow] = [66_000, 64]; // more than 2^22 weights
    const exact = values(many * narrow, 3).map((value) => Math.round(value * 64) / 64); // in bfloat16 too
    using packed = await engine.pack(arraySource(exact, [many, narrow], { dtype: 'bfloat16' }), 'linear');
    using whole = await engine.pack(arraySource(exact, [many, narrow]), 'linear');
    using scope = engine.scope();
    const x = engine.tensor(values(2 * narrow, 4), [2, narrow]);
    const [[a], [b]] = [packed, whole].map((weight) => engine.linear(x, [{ weight }]));
    const [actual, expected] = [await engine.readFloats(a), await engine.readFloats(b)];
    // Sums of 64 products below 1 in any order.
    expect(expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i])), 0)).toBeLessThan(1e-4);
    void scope;
  });
});

describe(`tfjs on ${choice}`, () => {
  it.skipIf(!native)('runs no expert that no token visits', async () => {
    const [experts, size] = [8, 16];
    const pack = (seed: number, shape: number[], use: 'linear' | 'experts') =>
      engine.pack(
        arraySource(
          values(
            shape.reduce((a, b) => a * b),
            seed,
          ),
          shape,
        ),
        use,
      );
    using router = await pack(1, [experts, size], 'linear');
    using gate = await pack(2, [experts, 32, size], 'experts');
    using up = await pack(3, [experts, 32, size], 'experts');
    using down = await pack(4, [experts, size, 32], 'experts');
    using scope = engine.scope();
    const x = engine.tensor(values(size, 9), [1, size]);
    const projections = { gate: { weight: gate }, up: { weight: up }, down: { weight: down } };
    const { kernelNames, kernels } = await tf.profile(() => {
      engine.moe(x, router, projections, { topK: 2, normalise: true });
      return tf.scalar(0);
    });
    expect(kernelNames).toContain('BatchMatMul');
    expect(kernels.filter(({ name }) => name === 'BatchMatMul')).toHaveLength(1 + 2 * 3);
    void scope;
  });

  it('goes on with a cache past what it first had room for', async () => {
    const spec = { heads: 2, keyValueHeads: 1, headDim: 4, scale: 0.5 };
    const [tokens, first] = [150, 120];
    const [q, k, v] = [values(tokens * 8, 1), values(tokens * 4, 2), values(tokens * 4, 3)];
    using cache = engine.createCache({
      ...{ layers: [0], slots: 1, capacity: 160, keyValueHeads: 1, headDim: 4, dtype: 'float32' },
    });
    using scope = engine.scope();
    const part = (from: number, to: number, held: typeof cache | undefined) => {
      const of = (all: Float32Array, wide: number) =>
        engine.tensor(all.slice(from * wide, to * wide), [to - from, wide]);
      const batch = createBatch([new Int32Array(to - from)], [from]);
      const y = engine.attention({ q: of(q, 8), k: of(k, 4), v: of(v, 4), cache: held, layer: 0, batch, spec });
      held?.advance(batch);
      return engine.readFloats(y);
    };
    const whole = await part(0, tokens, undefined);
    const pieces = [...(await part(0, first, cache))];
    for (let at = first; at < tokens; at++) pieces.push(...(await part(at, at + 1, cache)));
    // Roundings of softmax over 150 scores, summed in another order.
    expect(pieces.reduce((most, value, i) => Math.max(most, Math.abs(value - whole[i])), 0)).toBeLessThan(1e-5);
    void scope;
  });

  it('frees a cache of which a later slot alone was written', () => {
    const before = tf.memory().numTensors;
    const cache = engine.createCache({
      ...{ layers: [0], slots: 3, capacity: 16, keyValueHeads: 1, headDim: 2, dtype: 'float32' },
    });
    {
      using scope = engine.scope();
      const x = engine.tensor([1, 2], [1, 2]);
      const batch = createBatch([[0]], [0], [2]);
      const spec = { heads: 1, keyValueHeads: 1, headDim: 2, scale: 1 };
      engine.attention({ q: x, k: x, v: x, cache, layer: 0, batch, spec });
      void scope;
    }
    cache.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('forgets what was not finite in a cache that is shortened', async () => {
    const spec = { heads: 1, keyValueHeads: 1, headDim: 2, scale: 1 };
    using cache = engine.createCache({
      ...{ layers: [0], slots: 1, capacity: 16, keyValueHeads: 1, headDim: 2, dtype: 'float32' },
    });
    using scope = engine.scope();
    const run = async (start: number, numbers: number[]) => {
      const x = engine.tensor(numbers, [numbers.length / 2, 2]);
      const batch = createBatch([new Int32Array(numbers.length / 2)], [start]);
      const y = engine.attention({ q: x, k: x, v: x, cache, layer: 0, batch, spec });
      cache.advance(batch);
      return engine.readFloats(y);
    };
    await run(0, [1, 2, 3, 4, NaN, NaN, NaN, NaN]);
    cache.truncate(0, 1);
    expect([...(await run(1, [1, 2]))]).toEqual([1, 2]);
    void scope;
  });

  it('keeps no tensor of two hundred generations', async () => {
    const config = { modelType: 'llama', hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 2 };
    using model = await createModel({ ...config, numKeyValueHeads: 1, vocabSize: 11 }, { engine });
    const run = () => generate(model, [1, 2, 3], { maxTokens: 2, stopTokens: [] });
    await run();
    const before = tf.memory().numTensors;
    for (let i = 0; i < 200; i++) await run();
    expect(tf.memory().numTensors).toBe(before);
  });
});
