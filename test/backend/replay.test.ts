/** Passes that are recorded and run again must give, bit for bit, what they give when the host launches each kernel. */
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import wabt from 'wabt';
import {
  createBatch,
  createEngine,
  type Batch,
  type Engine,
  type KvCache,
  type Tensor,
} from '../../src/engine/index.js';
import { Allocator } from '../../src/engine/wasm/runtime/allocator.js';
import { Arena } from '../../src/engine/wasm/runtime/arena.js';
import { ProgramState, programModule } from '../../src/engine/wasm/runtime/program.js';
import { ThreadPool } from '../../src/engine/wasm/runtime/threadPool.js';
import { createModel, type Model, type PartialConfig } from '../../src/models/index.js';
import { int8Quantizer, rtnQuantizer } from '../../src/quant/index.js';
import { floats, random, weight } from '../support/backends.js';

const config: PartialConfig = {
  vocabSize: 50,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 2,
  numAttentionHeads: 6,
  numKeyValueHeads: 2,
  headDim: 16,
  maxPositionEmbeddings: 2048,
};

/** The streams that leave a model after each token of each sequence, token by token. */
async function streams(
  model: Model,
  sequences: readonly (readonly number[])[],
  cache: KvCache,
  replayed: boolean,
  from = cache.lengths[0],
): Promise<number[][]> {
  const results: number[][] = [];
  for (let at = 0; at < sequences[0].length; at++) {
    using _scope = model.engine.scope();
    const batch = createBatch(
      sequences.map((tokens) => [tokens[at]]),
      sequences.map(() => from + at),
    );
    // An observer sees every kernel launched.
    const hidden = model.forward(batch, { cache, ...(replayed ? {} : { observer: {} }) });
    results.push([...(await model.engine.readFloats(hidden))]);
  }
  return results;
}

/** A cache that holds `length` tokens of each slot. */
function filled(model: Model, slots: number, length: number, spare: number, dtype: 'float32' | 'float16'): KvCache {
  const cache = model.createCache({ slots, capacity: length + spare, dtype });
  using _scope = model.engine.scope();
  const tokens = Array.from({ length }, (_, i) => (7 * i) % 50);
  if (length > 0) model.forward(createBatch(Array.from({ length: slots }, () => tokens)), { cache });
  return cache;
}

const withEngine = async (threads: number, use: (engine: Engine) => Promise<void>): Promise<void> => {
  using engine = await createEngine('wasm', { threads });
  await use(engine);
};

const tokens = fc.array(fc.nat({ max: 49 }), { minLength: 4, maxLength: 4 });
const cases = fc.record({
  config: fc.record({
    slidingWindow: fc.constantFrom(undefined, 3, 40, 300),
    numKeyValueHeads: fc.constantFrom(1, 2, 3, 6),
    headDim: fc.constantFrom(4, 6, 16),
    attentionBias: fc.boolean(),
    mlpBias: fc.boolean(),
    intermediateSize: fc.constantFrom(96, 40),
  }),
  held: fc.constantFrom('floats' as const, 'int4' as const, 'int8' as const),
  dtype: fc.constantFrom('float32' as const, 'float16' as const),
  // Programs have rows for 1, 2, 3, 4, 6 or 8 sequences.
  sequences: fc.array(tokens, { minLength: 1, maxLength: 6 }),
  // The splits of keys are 256 long; rotary tables grow at powers of two.
  length: fc.constantFrom(0, 1, 61, 254, 600),
  drops: fc.constantFrom({ attention: [0], mlp: [1] }, { attention: [], mlp: [] }),
  threads: fc.constantFrom(1, 2, 3),
});

it('what is run again is what is computed step by step, also in another cache', async () => {
  await fc.assert(
    fc.asyncProperty(cases, ({ config: varied, held, dtype, sequences, length, drops, threads }) =>
      withEngine(threads, async (engine) => {
        const quantize = { floats: undefined, int4: rtnQuantizer({ groupSize: 32 }), int8: int8Quantizer() }[held];
        using model = await createModel({ ...config, ...varied }, { seed: 5, engine, quantize });
        model.skip(drops);
        const results: number[][][] = [];
        for (const [replayed, spare] of [
          [true, 4],
          [true, 9],
          [false, 4],
        ] as const) {
          using cache = filled(model, sequences.length, length, spare, dtype);
          results.push(await streams(model, sequences, cache, replayed));
        }
        expect(results[0]).toEqual(results[2]);
        expect(results[1]).toEqual(results[2]);
      }),
    ),
    { numRuns: 30 },
  );
});

it('a program is made once for caches of a class, and again when weights or flags change', async () => {
  await withEngine(2, async (engine) => {
    using model = await createModel(config, { seed: 1, engine });
    const record = vi.spyOn(engine.backend, 'record');
    const sequence = [[1, 2, 3]];
    const run = async (replayed: boolean): Promise<number[][]> => {
      using cache = filled(model, 1, 20, 6, 'float32');
      return await streams(model, sequence, cache, replayed);
    };
    await run(true);
    await run(true);
    expect(record).toHaveBeenCalledTimes(1);
    model.skip({ attention: [1] });
    expect(await run(true)).toEqual(await run(false));
    expect(record).toHaveBeenCalledTimes(2);
    model.setDrops({ attention: [], mlp: [] });
    const before = await run(true);
    expect(record).toHaveBeenCalledTimes(2);
    model.layers[0].unload();
    using other = await createModel(config, { seed: 2, engine });
    await model.layers[0].load();
    expect(await run(true)).toEqual(before);
    expect(record).toHaveBeenCalledTimes(3);
    using cache = other.createCache({ capacity: 8 });
    expect(await streams(other, sequence, cache, true)).not.toEqual(before);
  });
});

it('a program serves any slots, and fewer sequences than it has rows for', async () => {
  await withEngine(2, async (engine) => {
    using model = await createModel(config, { seed: 1, engine });
    const record = vi.spyOn(engine.backend, 'record');
    const slots = [
      [4, 2, 0, 1, 3, 6],
      [5, 0, 6, 3, 1],
      [1, 2, 3, 4, 5, 0, 6],
      [0, 1, 2, 3, 4, 5, 6, 7],
      [2, 7, 3, 6, 5, 0],
    ];
    const run = async (observed: boolean): Promise<number[][]> => {
      using cache = filled(model, 8, 5, 20, 'float16');
      const results: number[][] = [];
      for (const some of slots) {
        using _scope = engine.scope();
        const starts = some.map((slot) => cache.lengths[slot]);
        const batch = createBatch(
          some.map((slot) => [slot + 3]),
          starts,
          some,
        );
        const hidden = model.forward(batch, { cache, ...(observed && { observer: {} }) });
        results.push([...(await engine.readFloats(hidden))]);
      }
      return results;
    };
    const replayed = await run(false);
    expect(record, 'for 6 and for 8 rows').toHaveBeenCalledTimes(2);
    expect(replayed).toEqual(await run(true));
  });
});

it('a mixture, whose host chooses the experts, is computed step by step', async () => {
  await withEngine(1, async (engine) => {
    const mixture = { ...config, modelType: 'mixtral', numLocalExperts: 4, numExpertsPerTok: 2 };
    using model = await createModel(mixture, { seed: 1, engine });
    const results: number[][][] = [];
    for (const replayed of [true, false]) {
      using cache = model.createCache({ capacity: 6 });
      results.push(await streams(model, [[3, 14, 15, 9, 26]], cache, replayed));
    }
    expect(results[0]).toEqual(results[1]);
  });
});

it('a failed pass leaves the engine as it was', async () => {
  await withEngine(1, async (engine) => {
    using model = await createModel(config, { seed: 1, engine });
    using cache = model.createCache({ capacity: 8 });
    await streams(model, [[1]], cache, false); // rotary tables are made once
    cache.truncate(0);
    const before = engine.memory();
    const failing = vi.spyOn(engine.backend, 'gatedMlp').mockImplementationOnce(() => {
      throw new Error('no luck');
    });
    await expect(streams(model, [[1]], cache, true)).rejects.toThrow('no luck');
    failing.mockRestore();
    expect(engine.memory()).toEqual(before);
    const replayed = await streams(model, [[1, 2, 3]], cache, true);
    cache.truncate(0);
    expect(await streams(model, [[1, 2, 3]], cache, false)).toEqual(replayed);
  });
});

type Step = (engine: Engine, x: Tensor, batch: Batch, cache: KvCache) => Tensor;

const [heads, keyValueHeads, headDim, width] = [4, 2, 8, 32];

/** What a pass over one token of each of two sequences gives, token by token, run again where that can be done. */
async function passes(
  engine: Engine,
  replayed: boolean,
  dtype: 'float32' | 'float16',
  step: Step,
): Promise<number[][]> {
  using replays = engine.createReplays();
  using cache = engine.createCache({ layers: [0], slots: 2, capacity: 300, keyValueHeads, headDim, dtype });
  const results: number[][] = [];
  for (let at = 0; at < 4; at++) {
    using _scope = engine.scope();
    const batch = createBatch([[at], [at + 1]], [at, at]);
    const x = floats(engine, at + 1, [2, width]);
    const compute = (x: Tensor): Tensor => step(engine, x, batch, cache);
    const y = replayed ? engine.replay(replays, { key: '', uses: [], cache, batch }, x, compute) : compute(x);
    results.push([...(await engine.readFloats(y))]);
    cache.advance(batch);
  }
  return results;
}

it('slopes, partial rotary, soft caps, activations and expressions are run again as they are computed', async () => {
  for (const threads of [1, 2])
    await withEngine(threads, async (engine) => {
      const launched = vi.spyOn(engine.backend, 'attention');
      using square = await weight(engine, random(1, [width, width]), [width, width], 'linear');
      using narrow = await weight(engine, random(2, [width / 2, width]), [width / 2, width], 'linear');
      using _scope = engine.scope();
      const [slopes, cos, sin] = [floats(engine, 3, [heads]), floats(engine, 4, [300, 3]), floats(engine, 5, [300, 3])];
      const [wide, small] = [{ weight: square }, { weight: narrow }];
      const spec = { heads, keyValueHeads, headDim, scale: 0.3, softCap: 5, slopes, rotary: { cos, sin } };
      const step: Step = (_, x, batch, cache) => {
        const [q, k, v] = engine.linear(x, [wide, small, small]);
        const y = engine.attention({ q, k, v, cache, layer: 0, batch, spec });
        const scaled = engine.map(y, ['multiply', ['tanh', 'x'], 3]);
        const z = engine.gatedMlp(scaled, { gate: wide, up: wide, down: wide, activation: 'gelu' });
        return engine.map(z, ['add', ['multiply', 'x', 0.25], 'y'], x);
      };
      for (const dtype of ['float32', 'float16'] as const) {
        launched.mockClear();
        const replayed = await passes(engine, true, dtype, step);
        expect(launched, 'but for the first time, no kernel is launched').toHaveBeenCalledTimes(1);
        expect(replayed).toEqual(await passes(engine, false, dtype, step));
      }
    });
});

it("the host's part in a pass, which is not recorded, is never left out", async () => {
  const firstOf = ({ tokens }: Batch): number => tokens[0];
  const steps: Record<string, Step> = {
    tensor: (engine, x, batch) => engine.add(x, engine.tensor(random(firstOf(batch), [2, width]), [2, width])),
    gather: (engine, x, batch) => engine.gather(x, Int32Array.of(firstOf(batch) % 2, 0)),
    integers: (engine, x, batch) => engine.multiply(x, engine.cast(engine.tensor(batch.tokens.slice(0, 1)), 'float32')),
  };
  await withEngine(1, async (engine) => {
    using head = await weight(engine, random(1, [20, width]), [20, width], 'linear');
    steps.targets = (_, x, { tokens }) =>
      engine.multiply(x, engine.crossEntropy(x, { weight: head }, tokens).rows(0, 1));
    steps.embedding = (_, x, { tokens }) => engine.add(x, engine.embed(head, createBatch([tokens])));
    for (const [name, step] of Object.entries(steps)) {
      const record = vi.spyOn(engine.backend, 'record');
      expect(await passes(engine, true, 'float32', step), name).toEqual(await passes(engine, false, 'float32', step));
      expect(record, 'the recording was tried').toHaveBeenCalledTimes(1);
      record.mockRestore();
    }
  });
});

it('a tensor that outlives the recorded pass in which it was made keeps its values', async () => {
  await withEngine(1, async (engine) => {
    let kept: Tensor | undefined;
    const step: Step = (_, x) => engine.add(x, (kept ??= engine.tensor(random(9, [width])).detach()));
    const replayed = await passes(engine, true, 'float32', step);
    expect(await engine.readFloats(kept!)).toEqual(random(9, [width]));
    expect(replayed).toEqual(await passes(engine, false, 'float32', step));
    kept!.dispose();
    expect(engine.memory().tensors).toBe(0);
  });
});

it('memory that a recorded pass has for itself does not overlap, and is given back', () => {
  const parent = new Allocator(1, 2 ** 32, () => true);
  const arena = new Arena(parent);
  const live = parent.live;
  const [a, b] = [arena.allocate(100), arena.allocate(100)];
  arena.free(a, 100);
  expect(arena.allocate(120)).toBe(a); // of the same class
  expect(arena.reserve(100)).not.toBe(a);
  arena.free(b, 100);
  expect(parent.allocate(100)).not.toBe(b);
  parent.free(parent.allocate(1), 1);
  arena.dispose();
  // What outlives the pass stays its own until it is freed.
  expect(parent.live - live).toBe(2 * Allocator.rounded(100));
  arena.free(a, 120);
  expect(parent.live - live).toBe(Allocator.rounded(100));
});

it('a program is a valid module, whose state follows the batch', async () => {
  const kernel = { id: 3, parameters: { at: 'i32', scale: 'f32' } as const, run: () => undefined };
  const call = { kernel, values: [{ base: 64, unit: 4, count: 1, thread: 8 }, 0.5] };
  const phases = [
    [
      { units: 7, chunk: 2, work: 1, calls: [call] },
      { units: 3, chunk: 1, work: 1, calls: [call, call] },
    ],
    [{ units: 2, unitsOf: ({ tokens }: { tokens: Int32Array }) => tokens.length, chunk: 1, work: 1, calls: [call] }],
  ];
  const { bytes } = programModule(phases, 4096).emit({ minimumPages: 1 });
  const parsed = (await wabt()).readWasm(bytes, { simd: true, threads: true });
  expect(() => parsed.validate()).not.toThrow();
  parsed.destroy();
  const state = new ProgramState(phases);
  const ends = (words: Int32Array): number[] => [...words].filter((word) => word !== 0);
  expect(ends(state.words)).toEqual([4, 7, 2]);
  expect(ends(state.next(createBatch([[1], [2], [3]])))).toEqual([4, 7, 3]);
});

it('a program that fails on the main thread does not leave others waiting', () => {
  const pool = new ThreadPool(2, [], []);
  let aborted = 0;
  const program = {
    run: {
      id: 0,
      parameters: {},
      run: () => {
        throw new Error('out of bounds');
      },
    },
    abort: { id: 1, parameters: {}, run: () => void aborted++ },
  };
  expect(() => pool.runProgram(program, false)).toThrow(/out of bounds|a thread of the wasm backend failed/);
  expect(aborted).toBe(1);
  pool.dispose();
});
