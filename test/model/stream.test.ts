/** Layers one at a time, hidden states waiting in memory or on the disk: the scores of a model that is loaded. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DiskStates } from '../../src/walk/index.js';
import { angular, scoreImportance, type Importance, type ScoreOptions } from '../../src/drop/index.js';
import { BaseOutputs, evaluateLoss } from '../../src/evaluate/index.js';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { Model, createModel, type PartialConfig } from '../../src/models/index.js';
import { dropSets, modelSpecs, tokenRows } from '../../src/testing/index.js';

const shape = {
  vocabSize: 50,
  hiddenSize: 24,
  intermediateSize: 40,
  numHiddenLayers: 5,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
};
const configs: Record<string, PartialConfig> = {
  llama: shape,
  mixtral: { ...shape, modelType: 'mixtral', numLocalExperts: 4, numExpertsPerTok: 2, slidingWindow: 7 },
};
const rows = [0, 1, 2].map((row) => Int32Array.from({ length: 24 - row }, (_, i) => (i * (row + 3) + row) % 50));

let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'llm-drop-stream-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(['wasm', 'reference'] as const)('%s', (backend) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await createEngine(backend)));
  afterEach(() => {
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    expect(readdirSync(folder)).toEqual([]);
  });
  afterAll(() => engine.dispose());

  /** The same model loaded whole, and with its weights left where they are. */
  const both = async (
    config: PartialConfig,
    seed: number,
    options: ScoreOptions,
    tokens: readonly Int32Array[] = rows,
    drops = { attention: [1], mlp: [1, 3] } as { attention: number[]; mlp: number[] },
  ): Promise<[loaded: Importance, streamed: Importance]> => {
    using loaded = await createModel(config, { seed, engine });
    loaded.skip(drops);
    const expected = await scoreImportance(loaded, tokens, { gaps: options.gaps ?? [1], metric: options.metric });
    using streamed = new Model(engine, loaded.description, loaded.parameters);
    streamed.skip(drops);
    const actual = await scoreImportance(streamed, tokens, { temporary: folder, ...options });
    expect(streamed.layers.some((layer) => layer.isLoaded('attention') || layer.isLoaded('mlp'))).toBe(false);
    return [expected, actual];
  };

  describe.each(Object.keys(configs))('%s', (family) => {
    it('a streamed loss, and the divergence from a streamed model, are those of loaded ones, bit for bit', async () => {
      using loaded = await createModel(configs[family], { seed: 3, engine });
      using other = await createModel(configs[family], { seed: 4, engine });
      const streamed = new Model(engine, loaded.description, loaded.parameters);
      const otherStreamed = new Model(engine, other.description, other.parameters);
      using _both = { [Symbol.dispose]: () => [streamed, otherStreamed].forEach((model) => model.dispose()) };
      for (const model of [loaded, streamed]) model.skip({ attention: [1], mlp: [1, 3] });
      const counted = [23, 5, 21];
      const expected = await evaluateLoss(loaded, rows, { counted });
      expect(await evaluateLoss(streamed, rows, { counted })).toEqual(expected);
      using outputs = await BaseOutputs.of(other, rows, { counted });
      using streamedOutputs = await BaseOutputs.of(otherStreamed, rows, { counted });
      const apart = await outputs.compare(loaded);
      expect(await streamedOutputs.compare(streamed)).toEqual(apart);
      // The loss is summed here from logits, there by a kernel: float32 either way.
      expect(apart.loss.loss).toBeCloseTo(expected.loss, 5);
    });

    it.each(['auto', 'always'] as const)(
      'streamed scores are those of the loaded model, bit for bit (spill: %s)',
      async (spill) => {
        const [loaded, streamed] = await both(configs[family], 3, { spill });
        expect(streamed).toEqual(loaded);
        expect(loaded.similarity.attention[1]).toBeNull();
      },
    );

    it.each([[[2]], [[1, 3]], [[1, 2, 3, 4, 5]], [[5]]])('windows of %j blocks', async (gaps) => {
      const [loaded, streamed] = await both(configs[family], 4, { gaps, spill: 'always' });
      expect(streamed).toEqual(loaded);
      for (const gap of gaps) expect(streamed.blockConsecutive[0][gap - 1]).toEqual(expect.any(Number));
    });

    it('by a metric that is no kernel', async () => {
      const [loaded, streamed] = await both(configs[family], 5, { metric: angular, gaps: [1, 2] });
      expect(streamed).toEqual(loaded);
    });
  });

  it('any model, drops and rows', async () => {
    const cases = modelSpecs({ maxLayers: 4 }).chain((spec) =>
      fc.record({
        spec: fc.constant(spec),
        tokens: tokenRows(spec.config.vocabSize, { max: 3 }, { max: 9 }),
        drops: dropSets(spec.config.numHiddenLayers),
        gaps: fc.uniqueArray(fc.integer({ min: 1, max: spec.config.numHiddenLayers })),
        spill: fc.constantFrom('auto' as const, 'always' as const),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ spec, tokens, drops, gaps, spill }) => {
        const { attention, mlp } = drops;
        const [loaded, streamed] = await both(spec.config, spec.seed, { gaps, spill }, tokens, {
          attention: [...attention],
          mlp: [...mlp],
        });
        expect(streamed).toEqual(loaded);
      }),
      { numRuns: backend === 'wasm' ? 40 : 15 },
    );
  });

  it('leaves no file and no weight behind when it is interrupted', async () => {
    const interrupt = new AbortController();
    const onProgress = (done: number): void => void (done === 7 && interrupt.abort());
    await expect(both(shape, 3, { spill: 'always', onProgress, signal: interrupt.signal })).rejects.toThrow('aborted');
  });

  it('says what it needs when a layer does not fit', async () => {
    await expect(both(shape, 3, { maxMemory: 1e6 })).rejects.toThrow(
      /a layer of .* MB of memory in all, more than 1.000 MB/,
    );
  });
});

it('an earlier window is measured where it is asked for, and nothing else is', async () => {
  using engine = await createEngine('reference');
  using model = await createModel(shape, { seed: 1, engine });
  const all = await scoreImportance(model, rows);
  const some = await scoreImportance(model, rows, { gaps: [3] });
  expect(some.similarity).toEqual(all.similarity);
  expect(some.blockConsecutive).toEqual(
    all.blockConsecutive.map((line) => line.map((score, i) => (i === 0 || i === 2 ? score : null))),
  );
  await expect(scoreImportance(model, rows, { gaps: [6] })).rejects.toThrow(
    'cannot score windows of 6 blocks: the model has 5',
  );
});

it('hidden states of rows of any length come back from the disk', () => {
  using states = new DiskStates([3, 1, 2], 2, tmpdir(), false);
  const values = [
    [1, 2, 3, 4, 5, 6],
    [7, 8],
    [9, 10, 11, 12],
  ].map((row) => Float32Array.from(row));
  for (const row of [2, 0, 1]) states.write(4, row, values[row]);
  for (const row of [0, 1, 2]) expect(Array.from(states.read(4, row))).toEqual(Array.from(values[row]));
  states.keep([]);
  expect(() => states.read(4, 0)).toThrow('incomplete');
});
