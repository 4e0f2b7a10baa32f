import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createBatch, createEngine, Engine, UnsupportedOpError, type Tensor } from '../../src/engine/index.js';
import { loadTfjs, type Tf } from '../../src/engine/tfjs/load.js';
import { createTfjsBackend } from '../../src/engine/tfjs/tfjsBackend.js';
import { batch, createBlock, forward, sizes, type Block, type Sums, type Ways } from '../support/forward.js';

const choice = process.env.LLM_DROP_TFJS || 'cpu';
let tf: Tf;
let engine: Engine;
let oracle: Engine;
let block: Block;
let expected: Block;

beforeAll(async () => {
  ({ tf } = await loadTfjs(choice));
  engine = new Engine(await createTfjsBackend({ tfjs: choice }));
  oracle = await createEngine('reference');
  [block, expected] = [await createBlock(engine), await createBlock(oracle)];
});

afterAll(() => {
  engine.dispose();
  oracle.dispose();
});

const sumsOn = (on: Engine): Sums => ({ cosine: on.accumulator(3), gram: on.accumulator(sizes.width ** 2) });
const cacheOn = (on: Engine) =>
  on.createCache({
    layers: [0],
    slots: 2,
    capacity: 16,
    keyValueHeads: sizes.keyValueHeads,
    headDim: sizes.headDim,
    dtype: 'float32',
  });

/** The largest difference, relative to the largest value: float32 against float64 between. */
function difference(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (actual.length !== wanted.length) return Infinity;
  const largest = Array.from(wanted).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const off = Array.from(wanted, (value, i) => Math.abs(value - actual[i]));
  return off.reduce((most, value) => Math.max(most, value), 0) / largest;
}

describe(`tfjs on ${choice}: a forward pass`, () => {
  const ways: [string, Ways][] = [
    ['as it is', {}],
    ['with a window', { window: 3 }],
    ['with capped scores and weights that are not normalised', { softCap: 2, normalise: false }],
  ];
  it.each(ways)('equals the reference %s', async (_, way) => {
    const [sums, wanted] = [sumsOn(engine), sumsOn(oracle)];
    using scope = engine.scope();
    using outer = oracle.scope();
    const [ours, theirs] = [forward(engine, block, batch, sums, way), forward(oracle, expected, batch, wanted, way)];
    expect(difference(await engine.readFloats(ours.logits), await oracle.readFloats(theirs.logits))).toBeLessThan(1e-5);
    expect(difference(await engine.readFloats(ours.losses), await oracle.readFloats(theirs.losses))).toBeLessThan(1e-5);
    expect(
      difference(await engine.readAccumulator(sums.cosine), await oracle.readAccumulator(wanted.cosine)),
    ).toBeLessThan(1e-6);
    expect(difference(await engine.readAccumulator(sums.gram), await oracle.readAccumulator(wanted.gram))).toBeLessThan(
      1e-5,
    );
    void [scope, outer];
    for (const sum of [...Object.values(sums), ...Object.values(wanted)]) sum.dispose();
  });

  it.each(ways)('continues a cache, also a shortened one, as without it %s', async (_, way) => {
    const sums = sumsOn(engine);
    using cache = cacheOn(engine);
    using scope = engine.scope();
    const whole = await engine.readFloats(forward(engine, block, batch, sums, way).logits);
    const part = (start: number, first: number, second: number) =>
      createBatch(
        [[...batch.tokens.slice(start, start + first)], [...batch.tokens.slice(7 + start, 7 + start + second)]],
        [start, start],
      );
    const run = async (piece: ReturnType<typeof part>) =>
      engine.readFloats(forward(engine, block, piece, sums, { ...way, cache }).logits);
    await run(part(0, 5, 3));
    cache.truncate(0, 2);
    cache.truncate(1, 2);
    const rows = await run(part(2, 4, 1));
    const last = await run(createBatch([[batch.tokens[6]]], [6]));
    const row = (from: Float32Array, index: number) =>
      from.subarray(index * sizes.vocabulary, (index + 1) * sizes.vocabulary);
    for (let i = 0; i < 4; i++) expect(difference(row(rows, i), row(whole, 2 + i))).toBeLessThan(1e-5);
    expect(difference(row(rows, 4), row(whole, 9))).toBeLessThan(1e-5);
    expect(difference(last, row(whole, 6))).toBeLessThan(1e-5);
    void scope;
    for (const sum of Object.values(sums)) sum.dispose();
  });

  // WebAssembly's memory is the host's, and its slice copies it by the same function as a read.
  it.skipIf(choice === 'wasm')('reads nothing back', async () => {
    const sums = sumsOn(engine);
    using cache = cacheOn(engine);
    using scope = engine.scope();
    const device = tf.backend();
    const spies = [
      vi.spyOn(device, 'read'),
      vi.spyOn(device, 'readSync'),
      ...(['data', 'dataSync', 'array', 'arraySync', 'bytes'] as const).map((method) =>
        vi.spyOn(tf.Tensor.prototype, method),
      ),
    ];
    const calls = (): number => spies.reduce((sum, { mock }) => sum + mock.calls.length, 0);
    const { logits } = forward(engine, block, batch, sums);
    forward(engine, block, batch, sums, { cache, window: 2, softCap: 5 });
    forward(engine, block, createBatch([[7], [8]], [7, 4]), sums, { cache });
    const rows = logits.rows(1, 4);
    const general: Tensor[] = [
      engine.add(rows, rows),
      engine.multiply(rows, engine.tensor([2])),
      engine.softmax(rows),
      engine.mean(rows, 0),
      engine.cast(engine.argmax(rows), 'float32'),
      engine.matmul(rows, rows, { transposeB: true }),
    ];
    expect(calls()).toBe(0);
    await engine.read(general[0]);
    expect(calls()).toBeGreaterThan(0);
    for (const spy of spies) spy.mockRestore();
    void scope;
    for (const sum of Object.values(sums)) sum.dispose();
  });

  it('leaves no tensor behind', async () => {
    const pass = async (): Promise<void> => {
      const sums = sumsOn(engine);
      using cache = cacheOn(engine);
      using scope = engine.scope();
      const { logits } = forward(engine, block, batch, sums, { cache });
      forward(engine, block, createBatch([[7], [8]], [7, 4]), sums, { cache });
      cache.truncate(0, 3);
      forward(engine, block, createBatch([[7, 2]], [3]), sums, { cache });
      await engine.read(engine.argmax(logits.rows(2, 5)));
      await engine.readAccumulator(sums.gram);
      void scope;
      for (const sum of Object.values(sums)) sum.dispose();
    };
    await pass();
    const before = tf.memory();
    await pass();
    expect(tf.memory().numTensors).toBe(before.numTensors);
    expect(tf.memory().numBytes).toBe(before.numBytes);
  });
});

describe(`tfjs on ${choice}`, () => {
  it('keeps nothing after dispose', async () => {
    const before = tf.memory().numTensors;
    const other = new Engine(await createTfjsBackend({ tfjs: choice }));
    const cache = cacheOn(other);
    forward(other, await createBlock(other), batch, sumsOn(other), { cache });
    expect(tf.memory().numTensors).toBeGreaterThan(before);
    other.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(other.memory()).toEqual({ tensors: 0, bytes: 0 });
  });

  it('keeps no part of a weight whose file ends early', async () => {
    const before = tf.memory().numTensors;
    let reads = 0;
    const source = {
      name: 'short',
      shape: [2, 3, 4],
      dtype: 'float32' as const,
      readRows: async (start: number, end: number) => {
        if (reads++ > 0) throw new Error('the file ends early');
        return new Uint8Array((end - start) * 16);
      },
    };
    await expect(engine.pack(source, 'experts')).rejects.toThrow('ends early');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('adds ten thousand terms without their rounding errors', async () => {
    using sum = engine.accumulator(1);
    using term = engine.tensor([Math.sqrt(0.1)], [1, 1]);
    const added = Math.fround(Math.fround(Math.sqrt(0.1)) ** 2);
    for (let i = 0; i < 10_000; i++) engine.gram(term, sum);
    const [total] = await engine.readAccumulator(sum);
    expect(Math.abs(total / (10_000 * added) - 1)).toBeLessThan(1e-7); // float32 alone is off by 1e-5
  });

  it('chooses the first of equals', async () => {
    using x = engine.tensor([1, 5, 5, 5, 0, 0, 0, 0, 2, 2, 1, 2], [3, 4]);
    expect([...(await engine.read(engine.argmax(x)))]).toEqual([1, 0, 0]);
    expect([...(await engine.read(engine.argmax(x, 0)))]).toEqual([2, 0, 0, 0]);
  });

  it('routes a token to the lower of equal experts', async () => {
    const { routing } = await import('../../src/engine/tfjs/moe.js');
    const weights = tf.tidy(() =>
      tf.keep(
        routing(
          tf,
          tf.tensor2d([
            [0, 1, 1, 1],
            [2, 2, 2, 2],
          ]),
          { topK: 2, normalise: true },
        ),
      ),
    );
    expect([...(await weights.data())]).toEqual([0, 0.5, 0.5, 0, 0.5, 0.5, 0, 0]);
    weights.dispose();
  });

  it('owns what it was given and gives what it does not own', async () => {
    const data = new Float32Array([1, 2, 3]);
    using x = engine.tensor(data);
    data[0] = 9;
    const first = await engine.readFloats(x);
    first[1] = 9;
    expect([...(await engine.readFloats(x))]).toEqual([1, 2, 3]);
  });

  it('has no float16 cache, and says so', () => {
    const half = { layers: [0], slots: 1, capacity: 4, keyValueHeads: 1, headDim: 2, dtype: 'float16' as const };
    expect(() => engine.createCache(half)).toThrow(UnsupportedOpError);
    expect(() => engine.createCache(half)).toThrow('the tfjs backend does not support a float16 cache');
  });

  it('says what it runs on', () => {
    expect(engine.backend.abilities).toMatchObject({ tier: tf.getBackend(), version: tf.version_core });
  });
});
