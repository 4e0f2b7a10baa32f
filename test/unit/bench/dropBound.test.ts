import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { dropBound, parseTest, RateMeter, weightBytes, workOf, type Rates } from '../../../src/bench/index.js';
import { createEngine, type Engine, type Weight } from '../../../src/engine/index.js';
import { createModel, type Model } from '../../../src/models/index.js';
import { rtnQuantizer } from '../../../src/quant/index.js';

/** D 16, I 24, 4 heads of 4 (2 for keys and values), V 32: small enough to count by hand. */
const config = {
  vocabSize: 32,
  hiddenSize: 16,
  intermediateSize: 24,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
};
const attention = 16 * 16 * 2 + 16 * 8 * 2 + 16;
const mlp = 3 * 16 * 24 + 16;
const head = 32 * 16;

const reading = { bytesPerSecond: 1, operationsPerSecond: 1e6 };
const computing = { bytesPerSecond: 1e6, operationsPerSecond: 1 };

describe('the bound for dropping', () => {
  let engine: Engine;
  let model: Model;
  beforeAll(async () => {
    engine = await createEngine('reference');
    model = await createModel(config, { engine });
  });
  afterAll(() => engine.dispose());

  const under = (attentions: number[], mlps: number[], name: string, batch = 1): ReturnType<typeof workOf> => {
    model.setDrops({ attention: attentions, mlp: mlps });
    return workOf(model, parseTest(name, batch), 'float32');
  };

  it('counts the weights of modules that run, as the backend holds them', () => {
    model.setDrops({ attention: [0, 2], mlp: [1] });
    const scale = model.head.bytes / head; // bytes of an element on this backend
    expect(weightBytes(model).head).toBe(model.head.bytes);
    expect(weightBytes(model).layers / scale).toBeCloseTo(2 * attention + 3 * mlp, -1);
  });

  it('counts keys and values that each decoded token sees', () => {
    const [near, far] = [under([], [], 'tg1'), under([], [], 'tg1@d100')];
    expect(far.bytes - near.bytes).toBe(100 * model.kvBytesPerToken());
    expect(far.operations - near.operations).toBe(4 * 4 * 4 * 4 * 100);
  });

  it('counts weights once a step, whatever the batch, and operations for each sequence', () => {
    const [one, four] = [under([], [], 'tg8', 1), under([], [], 'tg8', 4)];
    expect(four.operations).toBe(4 * one.operations);
    expect(four.bytes - one.bytes).toBe(3 * ((8 * 9) / 2) * model.kvBytesPerToken());
  });

  it('reads weights once a prefill', () =>
    expect(under([], [], 'pp64').bytes).toBeLessThan(64 * under([], [], 'tg1').bytes));

  it('counts of a prefill, after the last attention, the last token alone', () => {
    const [qo, kvNorm] = [16 * 16 * 2, 16 * 8 * 2 + 16];
    const scores = (tokens: number): number => 4 * 4 * 4 * tokens;
    const before = 2 * 64 * (attention + mlp) + scores((64 * 65) / 2); // of a layer before the last that attends
    const narrowing = 2 * (64 * kvNorm + qo) + scores(64);
    expect(under([], [], 'pp64').operations).toBe(3 * before + narrowing + 2 * (mlp + head));
    expect(under([2, 3], [], 'pp64').operations).toBe(before + narrowing + 2 * (3 * mlp + head));
    expect(under([0, 1, 2, 3], [], 'pp64').operations).toBe(2 * (4 * mlp + head));
    expect(under([], [], 'pp64', 5).operations).toBe(5 * under([], [], 'pp64').operations);
  });

  it('is 1 without a drop, and approaches the keys and values saved as the depth grows', () => {
    const whole = under([], [], 'tg1');
    expect(dropBound(whole, whole, reading).speedup).toBe(1);
    const speedups = ['tg1', 'tg1@d1000', 'tg1@d1000000'].map(
      (name) => dropBound(under([], [], name), under([1, 3], [], name), reading).speedup,
    );
    expect(speedups[1]).toBeGreaterThan(speedups[0]);
    expect(speedups[2]).toBeCloseTo(2, 2);
  });

  it('counts the experts of a mixture as far as random tokens visit them', async () => {
    const mixture = { ...config, modelType: 'mixtral', numLocalExperts: 4, numExpertsPerTok: 2 };
    using made = await createModel(mixture, { engine });
    const [scale, expert] = [made.head.bytes / head, 3 * 16 * 24];
    const around = attention + 16 + 4 * 16; // the norm and the router
    // A token visits half of the experts; of two, one in four experts is visited by neither, of three one in eight.
    for (const [tokens, share] of [
      [1, 1 / 2],
      [2, 3 / 4],
      [3, 7 / 8],
    ])
      expect(weightBytes(made, tokens).layers / scale).toBeCloseTo(4 * (around + 4 * share * expert), 6);
    // Computed are two experts for each token, whichever they are; scores of one key by each of 4 heads of 4, twice 2.
    const { operations } = workOf(made, parseTest('tg1', 1), 'float32');
    expect(operations).toBe(2 * 4 * (around + 2 * expert) + 2 * head + 4 * (4 * 4 * 4));
    expect(workOf(made, parseTest('tg1', 3), 'float32').operations).toBe(3 * operations);
  });

  it('goes by what takes longer, each side for itself', () => {
    const [whole, dropped] = [
      { bytes: 100, operations: 90 },
      { bytes: 50, operations: 60 },
    ];
    expect(dropBound(whole, dropped, reading)).toEqual({ bytes: 2, operations: 1.5, limit: 'bytes', speedup: 2 });
    expect(dropBound(whole, dropped, computing)).toMatchObject({ limit: 'operations', speedup: 1.5 });
    // The whole one reads for 100 s and computes for 90, the dropped one for 50 and 60.
    expect(dropBound(whole, dropped, { bytesPerSecond: 1, operationsPerSecond: 1 })).toMatchObject({
      limit: 'operations',
      speedup: 100 / 60,
    });
    // Another engine that reads twice as fast.
    expect(dropBound(whole, whole, { ...reading, bytesPerSecond: 2 }, reading).speedup).toBe(2);
  });

  it('a step of few sequences reads, a prefill computes', () => {
    // 8 bytes a float are read, and an operation for each two: as fast at both.
    const rates = { bytesPerSecond: 1, operationsPerSecond: 1 };
    const limitOf = (name: string, batch = 1): string => {
      const work = under([], [], name, batch);
      return dropBound(work, work, rates).limit;
    };
    expect([limitOf('tg4'), limitOf('tg4', 64), limitOf('pp64')]).toEqual(['bytes', 'operations', 'operations']);
  });
});

describe('the rates of an engine', () => {
  /** What the clock says that a product takes: one row reads at 1e7 bytes a second, many compute, int4 twice as fast. */
  const seconds = (rows: number, { bytes, shape }: Weight): number => {
    const operations = 2 * rows * shape[0] * shape[1];
    const isInt4 = bytes < 2 * shape[0] * shape[1];
    return rows === 1 ? bytes / 1e7 : operations / (isInt4 ? 2e6 : 1e6);
  };
  /** Of runs in turn; only the best is as it says. */
  const slowness = [3, 2, 1, 1.5, 4];

  /** Rates by a clock that products alone move, and the weights that were multiplied with one row and with many. */
  async function measured(
    models: readonly Model[],
  ): Promise<{ rates: Rates[]; reading: Weight[]; computing: Weight[] }> {
    const [{ engine }] = models;
    let [now, run] = [0, 0];
    const [reading, computing] = [new Set<Weight>(), new Set<Weight>()];
    const linear = engine.linear.bind(engine);
    const product = vi.spyOn(engine, 'linear').mockImplementation((x, projections, fusion) => {
      const [{ weight }] = projections;
      (x.shape[0] === 1 ? reading : computing).add(weight);
      now += 1000 * slowness[run++ % slowness.length] * seconds(x.shape[0], weight);
      return linear(x, projections, fusion);
    });
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      const meter = new RateMeter();
      const rates: Rates[] = [];
      for (const model of models) rates.push(await meter.measure(model, 2 ** 20));
      return { rates, reading: [...reading], computing: [...computing] };
    } finally {
      clock.mockRestore();
      product.mockRestore();
    }
  }

  it('are what its best products take, measured once for models alike, and leave nothing behind', async () => {
    using engine = await createEngine('wasm', { threads: 1 });
    const models = [
      await createModel(config, { engine }),
      await createModel(config, { seed: 1, engine }),
      await createModel(config, { engine, quantize: rtnQuantizer({ groupSize: 32 }) }),
    ];
    const before = engine.memory();
    const { rates, reading, computing } = await measured(models);
    expect(engine.memory()).toEqual(before);
    for (const { bytesPerSecond } of rates) expect(bytesPerSecond).toBeCloseTo(1e7, 3);
    rates.forEach(({ operationsPerSecond }, i) => expect(operationsPerSecond).toBeCloseTo([1e6, 1e6, 2e6][i], 3));
    // As much as a step reads, once; of the models' matrices the largest, in each form once.
    expect(reading.map(({ bytes }) => bytes)).toEqual([2 ** 20]);
    expect(computing.map(({ shape }) => shape[0] * shape[1])).toEqual([16 * 24, 16 * 24]);
    for (const model of models) model.dispose();
  });

  it('are measured of a model without any layer, on a matrix of its head', async () => {
    using engine = await createEngine('reference');
    using model = await createModel({ ...config, dropAttention: [0, 1, 2, 3], dropMlp: [0, 1, 2, 3] }, { engine });
    expect(model.bytes).toBeLessThan(4 * 8 * (2 * head + 100));
    const { rates, computing } = await measured([model]);
    expect(rates[0].operationsPerSecond).toBeCloseTo(1e6, 3);
    expect(computing.map(({ shape }) => shape)).toEqual([[32, 16]]);
  });

  it('by the real clock are at least the means of the runs', async () => {
    using engine = await createEngine('wasm', { threads: 1 });
    using model = await createModel(config, { engine });
    let [bytes, operations] = [0, 0];
    const linear = engine.linear.bind(engine);
    const product = vi.spyOn(engine, 'linear').mockImplementation((x, projections, fusion) => {
      const [{ weight }] = projections;
      if (x.shape[0] === 1) bytes += weight.bytes;
      else operations += 2 * x.shape[0] * weight.shape[0] * weight.shape[1];
      return linear(x, projections, fusion);
    });
    try {
      const start = performance.now();
      const { bytesPerSecond, operationsPerSecond } = await new RateMeter().measure(model, 2 ** 20);
      const elapsed = (performance.now() - start) / 1000;
      // All that was read, and all that was computed, in no more than the whole time.
      expect(bytes / bytesPerSecond + operations / operationsPerSecond).toBeLessThan(elapsed);
      // And not in a thousandth of it, as with milliseconds for seconds; 0.02 to 0.2 where others take the processor too.
      expect(Math.min(bytes / bytesPerSecond, operations / operationsPerSecond)).toBeGreaterThan(elapsed / 1000);
    } finally {
      product.mockRestore();
    }
  });
});
