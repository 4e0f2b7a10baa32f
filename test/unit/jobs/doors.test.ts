/** Every number and choice that the library takes: what it cannot be is refused by its name, before any work. */
import { describe, expect, it } from 'vitest';
import * as library from '../../../src/index.js';

const { UserError, createEngine, createBatch, createModel, int8Quantizer, randomQuantizer } = library;

/** Never a whole number, a share, or a number of bytes. */
const never = [NaN, -1, 'x', '3', [], {}, null, true];
const noWhole = [...never, Infinity, 1.5, 2 ** 60];
const noChoice = [...never, 'other'];
const noFlag = [0, 1, 'true', null];

type Call = (given: never) => unknown;

const config = {
  modelType: 'llama',
  vocabSize: 20,
  hiddenSize: 8,
  intermediateSize: 12,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  maxPositionEmbeddings: 16,
  eosTokenIds: [],
} as const;
const rows = [Int32Array.from({ length: 8 }, (_, i) => i)];
const engine = await createEngine('reference');
const model = await createModel(config, { engine });
const tokenizer = { encode: () => [1, 2, 3], eosId: 0 };
const importance: library.Importance = {
  ...{ metric: 'cosine', samples: 1, length: 8, tokens: 8, blockConsecutive: [[0.5]] },
  similarity: { attention: [0.5], mlp: [0.5], block: [0.5], attentionBare: [0.5], mlpBare: [0.5] },
};

/** Options of text and machine that jobs share. The folder is nowhere, so that work would fail with another error. */
const computing = { threads: noWhole, int4: noChoice, v8Flags: noFlag, maxMemory: never };
const reading = { samples: noWhole, length: [...noWhole, 1], field: [3, '', null, true] };
const groups = { groupSize: [NaN, 1.5, 0, 33, '32', null], symmetric: noFlag, clip: noChoice };
const method = {
  ...{ target: noChoice, count: noWhole, iterations: [...noWhole, 0], consecutive: noFlag, seed: noWhole },
  ...{ metric: noChoice, search: noChoice, compat: noChoice, keep: [[1.5], [NaN], 'x', 3] },
};
const test = { kind: 'prefill', tokens: 4, depth: 0, batch: 1 } as const;

const doors: Record<string, [call: Call, options: Record<string, readonly unknown[]>]> = {
  createEngine: [(o) => createEngine('wasm', o), { threads: [...noWhole, 0], int4: noChoice, v8Flags: noFlag }],
  createModel: [({ seed }) => createModel(config, { engine, seed }), { seed: noWhole }],
  randomQuantizer: [
    (o) => createModel({ ...config, hiddenSize: 32 }, { engine, quantize: randomQuantizer(o) }),
    { seed: noWhole, symmetric: noFlag, head: noChoice },
  ],
  int8Quantizer: [(o) => createModel(config, { engine, quantize: int8Quantizer(o) }), { head: noChoice }],
  createSampler: [
    (o) => library.createSampler(o),
    { temperature: [...never, Infinity], topK: [...noWhole, 0], topP: [...never, 0, 1.1], seed: noWhole },
  ],
  pullModel: [(o) => library.pullModel('a/b', o), { revision: reading.field, include: [[], [3], 'x', null] }],
  generate: [
    (o) => library.generate(model, [1], o),
    {
      maxTokens: noWhole,
      stopTokens: [[1.5], [NaN], 'x'],
      temperature: never,
      topK: noWhole,
      topP: never,
      seed: noWhole,
    },
  ],
  'model.createCache': [(o) => model.createCache(o), { slots: noWhole, capacity: [...noWhole, 0], dtype: noChoice }],
  fitsMemory: [
    (o) => library.fitsMemory(model, { bytes: 1, rowLength: 1, ...(o as object) }),
    { bytes: never, rowLength: [...noWhole, 0] },
  ],
  calibrationRows: [
    (o) => library.calibrationRows(tokenizer, ['nowhere.txt'], o),
    { ...reading, skip: noWhole, maxLength: never },
  ],
  drawRows: [(o) => library.drawRows(tokenizer, ['nowhere.txt'], o), { ...reading, seed: noWhole }],
  splitRows: [(o) => library.splitRows(tokenizer, ['nowhere.txt'], o), { ...reading, heldOut: noWhole }],
  sweepRows: [
    (o) => library.sweepRows(tokenizer, ['nowhere.txt'], { heldOut: 1, texts: ['nowhere.txt'], ...(o as object) }),
    { ...reading, heldOut: noWhole, skipRows: noWhole, texts: [[3], 'x'] },
  ],
  decodeSpeed: [(o) => library.decodeSpeed(model, [1], o), { tokens: [...noWhole, 0], repeats: noWhole }],
  compareDecodeSpeeds: [
    (o) => library.compareDecodeSpeeds(model, [], [1], o),
    { tokens: [...noWhole, 0], rounds: [...noWhole, 0] },
  ],
  scoreImportance: [(o) => library.scoreImportance(model, rows, o), { maxMemory: never, spill: noChoice }],
  compensate: [
    (o) => library.compensate(model, { attention: [0], mlp: [] }, rows, o),
    { alpha: [...never, Infinity], maxMemory: never, mode: noChoice },
  ],
  dropMethod: [(o) => library.dropMethod({ target: 'attention', count: 1, ...(o as object) }), method],
  measureTest: [
    (o) => library.measureTest(model, { ...test, ...(o as object) }, o),
    { tokens: [...noWhole, 0], depth: noWhole, batch: [...noWhole, 0], kind: noChoice, seed: noWhole, kv: noChoice },
  ],
  benchmark: [
    (o) => library.benchmark([{ name: 'a', model }], { tests: [test], ...(o as object) }),
    { repeats: [...noWhole, 0], maxMemory: never, seed: noWhole, kv: noChoice },
  ],
  gptq: [
    (o) =>
      library.gptq(
        new Float32Array(32),
        32,
        new Float64Array(1024),
        { groupSize: 32, symmetric: true, ...(o as object) },
        'w',
      ),
    { ...groups, damping: [...never, Infinity], actOrder: noFlag },
  ],
  quantizeModel: [
    (o) => library.quantizeModel(model, rows, { method: 'rtn', groupSize: 32, symmetric: true, ...(o as object) }),
    { ...groups, method: noChoice, damping: [...never, Infinity], expertFloor: noWhole, head: noFlag },
  ],
  writeWeights: [(o) => library.writeWeights('nowhere', [], o), { shardBytes: [...noWhole, 0] }],
  exportModel: [
    (o) => library.exportModel({ config: {} } as never, { to: 'hf', out: 'nowhere', ...(o as object) }),
    { to: noChoice, type: noChoice, threads: noWhole, zero: noFlag, overwrite: noFlag },
  ],
  scoreModel: [
    (o) => library.scoreModel('nowhere', { calibration: ['x'], ...(o as object) }),
    { ...computing, ...reading, seed: noWhole, metric: noChoice, calibration: ['x', [3]] },
  ],
  dropModules: [
    (o) =>
      library.dropModules('nowhere', { out: 'away', calibration: ['x'], target: 'mlp', count: 1, ...(o as object) }),
    { ...computing, ...reading, ...method, heldOut: noWhole, alpha: never, compensate: noChoice, overwrite: noFlag },
  ],
  dropExperts: [
    (o) => library.dropExperts('nowhere', { out: 'away', calibration: ['x'], count: 1, ...(o as object) }),
    { ...computing, ...reading, count: [...noWhole, 0], metric: noChoice, seed: noWhole, overwrite: noFlag },
  ],
  expertMethod: [
    (o) => library.expertMethod({ count: 1, ...(o as object) }),
    { count: [...noWhole, 0], metric: noChoice, seed: noWhole },
  ],
  refitModel: [
    (o) => library.refitModel('nowhere', { out: 'away', calibration: ['x'], ...(o as object) }),
    { ...computing, ...reading, heldOut: noWhole, alpha: never, mode: noChoice, overwrite: noFlag },
  ],
  quantizeCheckpoint: [
    (o) => library.quantizeCheckpoint('nowhere', { out: 'away', calibration: ['x'], ...(o as object) }),
    {
      ...{ ...computing, ...reading, ...groups, heldOut: noWhole, damping: [...never, 0, 1], expertFloor: noWhole },
      ...{ method: noChoice, format: noChoice, head: noFlag, overwrite: noFlag },
    },
  ],
  sweepModel: [
    (o) => library.sweepModel('nowhere', { calibration: ['x'], ...(o as object) }),
    {
      ...{ ...computing, ...reading, heldOut: noWhole, skipRows: noWhole, speedRounds: noWhole },
      ...{ counts: [[], [0], [1.5], 'x', 2], targets: [[], ['other'], 'mlp'], resume: noFlag },
    },
  ],
  compress: [
    (o) => library.compress('nowhere', {} as library.Recipe, { out: 'away', ...(o as object) }),
    { ...computing, overwrite: noFlag },
  ],
};

const cases = Object.entries(doors).flatMap(([name, [call, options]]) =>
  Object.entries(options).map(([option, values]) => [name, option, call, values] as const),
);

describe('options', () => {
  it.each(cases)('%s: %s', async (_name, option, call, values) => {
    const before = engine.memory();
    for (const value of values) {
      const error = await (async () => call({ [option]: value } as never))().catch((e: unknown) => e);
      expect(error, String(value)).toBeInstanceOf(UserError);
      expect((error as Error).message, String(value)).toMatch(new RegExp(`^\`${option}\`(\\[\\d+\\])? must be `));
    }
    expect(engine.memory()).toEqual(before);
  });
});

describe('token ids', () => {
  const wrong = [1.5, NaN, -1, 2 ** 32, 2 ** 32 + 1, 20, 'x', '3', null, undefined, {}];
  const ways: Record<string, (id: number) => unknown> = {
    generate: (id) => library.generate(model, [1, id]),
    'generate without a cache': (id) => library.generate(model, [1, id], { cache: false }),
    computeLogits: (id) => library.computeLogits(model, [[1, id]]),
    evaluateLoss: (id) => library.evaluateLoss(model, [[1, id] as unknown as Int32Array]),
    scoreImportance: (id) => library.scoreImportance(model, [[1, id] as unknown as Int32Array]),
    searchGreedily: (id) =>
      library.searchGreedily(model, [[1, id] as unknown as Int32Array], { target: 'mlp', count: 1 }),
    compensate: (id) => library.compensate(model, { attention: [], mlp: [0] }, [[1, id] as unknown as Int32Array]),
    quantizeModel: (id) =>
      library.quantizeModel(model, [[1, id] as unknown as Int32Array], {
        method: 'gptq',
        groupSize: 32,
        symmetric: true,
      }),
  };
  it.each(Object.entries(ways))('%s', async (_name, way) => {
    const before = engine.memory();
    for (const id of wrong) {
      const error = await (async () => way(id as number))().catch((e: unknown) => e);
      expect(error, JSON.stringify(id)).toBeInstanceOf(UserError);
      expect((error as Error).message).toMatch(/\[1\](: token \d+ is not within 0 to 19| must be a token id)/);
    }
    expect(engine.memory()).toEqual(before);
  });

  it('of a batch', () => {
    for (const id of wrong.filter((one) => one !== 20))
      expect(() => createBatch([[1, id as number]])).toThrow(/^tokens\[1\] must be a token id, .*, found /);
    for (const bad of [1.5, NaN, -1]) {
      expect(() => createBatch([[1]], [bad])).toThrow(/^starts\[0\] must be/);
      expect(() => createBatch([[1]], [0], [bad])).toThrow(/^slots\[0\] must be/);
    }
  });
});

describe('sizes of what an engine makes', () => {
  it.each([NaN, 1.5, -1, Infinity, 'x'])('%s is none', (size) => {
    const bad = size as number;
    const before = engine.memory();
    using t = engine.tensor([1, 2], [2, 1]);
    using sums = engine.accumulator(2);
    expect(() => engine.zeros([2, bad])).toThrow(/^\[zeros\] .* a size is a whole number/);
    expect(() => engine.tensor([1], [bad])).toThrow(/^\[tensor\] .* a size is a whole number/);
    expect(() => engine.accumulator(bad)).toThrow(/^\[accumulator\] .* a size is a whole number/);
    expect(() => t.rows(0, bad)).toThrow(library.ShapeError);
    expect(() => engine.cosine(t, t, sums, bad)).toThrow(library.ShapeError);
    if (bad !== -1) expect(() => engine.softmax(t, bad)).toThrow(library.ShapeError);
    expect(() =>
      engine.createCache({ layers: [0], slots: 1, capacity: bad, keyValueHeads: 1, headDim: 2, dtype: 'float32' }),
    ).toThrow(/^`capacity` must be/);
    sums.dispose();
    t.dispose();
    expect(engine.memory()).toEqual(before);
  });
});

it('scores keep their shape', () => {
  for (const count of [NaN, 1.5, -1, 2]) expect(() => library.selectDrops(importance, 'mlp', count)).toThrow(UserError);
});
