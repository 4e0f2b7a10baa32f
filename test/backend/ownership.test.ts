/** What an engine made is its own: given to another it is refused, with both names; freed, it is refused too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arraySource } from '../../src/engine/arraySource.js';
import { createBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { UseAfterFreeError, WrongEngineError } from '../../src/engine/errors.js';
import { Handle } from '../../src/engine/handle.js';
import { KvCache } from '../../src/engine/kvCache.js';
import { Replays } from '../../src/engine/replays.js';
import { createModel } from '../../src/models/index.js';
import { allBackends } from '../support/allBackends.js';
import { random, weight } from '../support/backends.js';

/** Everything that methods take, made by one engine. */
async function handlesOf(engine: Engine) {
  const rows = (seed: number) => engine.tensor(random(seed, [2, 4]), [2, 4]);
  const vector = (seed: number, size = 4) => engine.tensor(random(seed, [size]));
  const square = (seed: number) => weight(engine, random(seed, [4, 4]), [4, 4], 'linear');
  const expert = (seed: number) => weight(engine, random(seed, [3, 4, 4]), [3, 4, 4], 'experts');
  const one = () => engine.tensor(random(9, [1, 4]), [1, 4]);
  const projection = async (seed: number) => ({ weight: await square(seed), bias: vector(seed) });
  const gated = async (of: typeof square) => ({
    gate: { weight: await of(1) },
    up: { weight: await of(2) },
    down: { weight: await of(3) },
  });
  const norm = () => ({ gain: vector(7), epsilon: 1e-5 });
  const fusion = () => ({ norm: norm(), add: rows(8) });
  const cacheSpec = { layers: [0], slots: 1, capacity: 8, keyValueHeads: 1, headDim: 4, dtype: 'float32' } as const;
  const table = () => engine.tensor(random(5, [8, 2]), [8, 2]);
  return {
    rows,
    one,
    fusion,
    norm,
    table: await weight(engine, random(4, [5, 4]), [5, 4], 'both'),
    router: await weight(engine, random(5, [3, 4]), [3, 4], 'linear'),
    projections: [await projection(1), await projection(2)],
    mlp: await gated(square),
    experts: await gated(expert),
    head: { weight: await weight(engine, random(6, [5, 4]), [5, 4], 'linear'), bias: vector(6, 5), norm: norm() },
    cache: () => engine.createCache(cacheSpec),
    rotary: () => ({ cos: table(), sin: table() }),
    slopes: () => vector(3, 1),
    accumulator: (length: number) => engine.accumulator(length),
  };
}

type Handles = Awaited<ReturnType<typeof handlesOf>>;
const ids = Int32Array.of(1, 0);
const batch = createBatch([ids]);
const tiny = {
  ...{
    modelType: 'llama',
    vocabSize: 8,
    hiddenSize: 4,
    intermediateSize: 4,
    maxPositionEmbeddings: 8,
    eosTokenIds: [],
  },
  ...{ numHiddenLayers: 1, numAttentionHeads: 1, numKeyValueHeads: 1 },
};
const spec = { heads: 1, keyValueHeads: 1, headDim: 4, scale: 0.5 };

/** Of every public method: what it takes of an engine, or that it takes nothing. A method that is added must be added here. */
const methods: Record<Exclude<keyof Engine, symbol>, 'takes none' | ((h: Handles, engine: Engine) => unknown[])> = {
  name: 'takes none',
  backend: 'takes none',
  scope: 'takes none',
  exclusive: 'takes none',
  memory: 'takes none',
  peakBytes: 'takes none',
  resetPeak: 'takes none',
  dispose: 'takes none',
  tensor: 'takes none',
  zeros: 'takes none',
  pack: 'takes none',
  createCache: 'takes none',
  createReplays: 'takes none',
  accumulator: 'takes none',
  checkOwn: (h) => ['an operation', h.rows(1)],
  read: (h) => [h.rows(1)],
  readFloats: (h) => [h.rows(1)],
  matmul: (h) => [h.rows(1), h.rows(2), { transposeB: true }],
  add: (h) => [h.rows(1), h.rows(2)],
  multiply: (h) => [h.rows(1), h.rows(2)],
  map: (h) => [h.rows(1), ['add', 'x', 'y'], h.rows(2)],
  gatedActivation: (h) => [h.rows(1), h.rows(2)],
  softmax: (h) => [h.rows(1)],
  sum: (h) => [h.rows(1)],
  mean: (h) => [h.rows(1)],
  argmax: (h) => [h.rows(1)],
  cast: (h) => [h.rows(1), 'int32'],
  embed: (h) => [h.table, batch],
  gather: (h) => [h.rows(1), ids],
  rmsNorm: (h) => [h.rows(1), h.norm()],
  linear: (h) => [h.rows(1), h.projections, h.fusion()],
  gatedMlp: (h) => [h.rows(1), h.mlp, h.fusion()],
  moe: (h) => [h.rows(1), h.router, h.experts, { topK: 2, normalise: true }, h.fusion()],
  attention: (h) => [
    {
      ...{ q: h.rows(1), k: h.rows(2), v: h.rows(3), cache: h.cache(), layer: 0, batch },
      spec: { ...spec, rotary: h.rotary(), slopes: h.slopes() },
    },
  ],
  logits: (h) => [h.rows(1), h.head],
  crossEntropy: (h) => [h.rows(1), h.head, ids],
  divergence: (h) => [h.rows(1), h.rows(2), h.head],
  replay: (h, engine) => [
    engine.createReplays(),
    { key: '', uses: [], cache: h.cache(), batch: createBatch([[1]]) },
    h.one(),
    (x: unknown) => x,
  ],
  cosine: (h) => [h.rows(1), h.rows(2), h.accumulator(1), 0],
  gram: (h) => [h.rows(1), h.accumulator(16)],
  crossGram: (h) => [h.rows(1), h.rows(2), h.accumulator(16)],
  readAccumulator: (h) => [h.accumulator(3)],
};

it('no public method is without a check', () => {
  const names = Object.getOwnPropertyNames(Engine.prototype).filter((name) => name !== 'constructor');
  expect(Object.keys(methods).sort()).toEqual([...names, 'name', 'backend'].sort());
});

/** The paths at which a method's arguments hold something of an engine. */
const paths = (value: unknown, at: readonly string[] = []): string[][] => {
  if (value instanceof Handle || value instanceof Replays) return [[...at]];
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  return Object.entries(value).flatMap(([key, item]) => paths(item, [...at, key]));
};

const valueAt = (value: unknown, path: readonly string[]): unknown =>
  path.reduce((part, key) => (part as Record<string, unknown>)[key], value);

/** The same arguments, but for what stands at a path. */
function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const given = value as Record<string, unknown>;
  const part = replaced(given[key], rest, by);
  return Array.isArray(value) ? value.map((item, i) => (String(i) === key ? part : item)) : { ...given, [key]: part };
}

const taking = Object.entries(methods).filter(([, of]) => of !== 'takes none');

describe.each(allBackends)('%s', (_name, create) => {
  let [mine, other]: Engine[] = [];
  let [own, foreign]: Handles[] = [];
  beforeAll(async () => {
    [mine, other] = [await create(), await create()];
    [own, foreign] = [await handlesOf(mine), await handlesOf(other)];
  });
  afterAll(() => [mine, other].forEach((engine) => engine.dispose()));

  const call = async (name: string, given: unknown): Promise<unknown> =>
    (mine as unknown as Record<string, (...values: unknown[]) => unknown>)[name](...(given as unknown[]));

  it.each(taking)('%s refuses what another engine made, and what is freed', async (name, of) => {
    const argumentsOf = of as (h: Handles, engine: Engine) => unknown[];
    using scope = mine.scope();
    using _others = other.scope();
    const given = argumentsOf(own, mine);
    const theirs = argumentsOf(foreign, other);
    const places = paths(given);
    expect(places.length).toBeGreaterThan(0);
    const before = mine.memory();
    for (const path of places) {
      const error = await call(name, replaced(given, path, valueAt(theirs, path))).catch((e: unknown) => e);
      expect(error, path.join('.')).toBeInstanceOf(WrongEngineError);
      expect((error as Error).message).toContain(`is of ${other.name}, and was given to ${mine.name}`);
      expect(mine.memory(), path.join('.')).toEqual(before);
    }
    await call(name, given); // and nothing else is wrong with it
    const kept = new Set(Object.values(own).flatMap((item) => paths({ item }).map((path) => valueAt({ item }, path))));
    for (const path of places) {
      const fresh = argumentsOf(own, mine);
      const freed = valueAt(fresh, path) as Handle | Replays;
      if (kept.has(freed)) continue; // the others need it
      freed.dispose();
      await expect(call(name, fresh), path.join('.')).rejects.toThrow(UseAfterFreeError);
      for (const made of paths(fresh).map((at) => valueAt(fresh, at)))
        if (made instanceof KvCache && !made.freed) made.dispose();
    }
    scope.dispose();
  });

  it('a model refuses a cache of another engine', async () => {
    using model = await createModel(tiny, { engine: mine });
    using theirs = await createModel(tiny, { engine: other });
    using cache = theirs.createCache({ capacity: 8 });
    expect(() => model.forward(batch, { cache })).toThrow(WrongEngineError);
  });

  it('a scope keeps what its engine made, and nothing else', () => {
    using scope = mine.scope();
    using theirs = other.tensor([1]);
    expect(() => scope.keep(theirs)).toThrow(WrongEngineError);
  });

  it('a freed weight is refused', async () => {
    const gone = await mine.pack(arraySource(random(1, [5, 4]), [5, 4]), 'embedding');
    gone.dispose();
    expect(() => mine.embed(gone, batch)).toThrow(UseAfterFreeError);
  });
});
