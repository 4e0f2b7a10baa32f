/** Refits on checkpoints: what is written is what was fitted, in every family and type, and a killed run goes on. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProgressFile } from '../../src/progress/index.js';
import { openCheckpoint } from '../../src/checkpoint/index.js';
import {
  compensate,
  writeDropped,
  type Compensation,
  type CompensateOptions,
  type CompensationState,
} from '../../src/drop/index.js';
import { createBatch, createEngine, decodeFloats, type Engine } from '../../src/engine/index.js';
import { Model, createModel, loadModel, withQuantizer, type Drops } from '../../src/models/index.js';
import { naiveCompensation } from '../support/naiveCompensation.js';
import { oracleFolders } from '../support/oracleCases.js';
import { allBackends } from '../support/allBackends.js';

let folder: string, engine: Engine;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'llm-drop-compensate-'));
  engine = await createEngine('wasm');
});
afterAll(() => {
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const rowsBelow = (vocabulary: number, count = 4): Int32Array[] =>
  Array.from({ length: count }, (_, row) =>
    Int32Array.from({ length: 13 }, (__, i) => (i * (row + 3) + row) % vocabulary),
  );

/** All refit weights, and what is told of them. */
async function all({ refits, weights }: Compensation): Promise<unknown> {
  const values = weights.names.map(async (name) => {
    const source = weights.get(name)!;
    return [name, source.dtype, Array.from(decodeFloats(await source.readRows(0, source.shape[0]), source.dtype))];
  });
  return { refits, weights: await Promise.all(values) };
}

const own = oracleFolders().filter(({ name }) => name.startsWith('fixtures/'));

describe.each(own)('$name', ({ name, folder: source }) => {
  const drops: Drops = { attention: [1], mlp: [0] };

  it('a written refit runs as the model with the refit weights does, in the types of the original', async () => {
    const model = await loadModel(source, { engine });
    const out = join(folder, name.replace('/', '-'));
    const tokens = rowsBelow(60, 1)[0];
    const logits = async (m: Model): Promise<Float32Array> => {
      using _scope = engine.scope();
      return await engine.readFloats(m.logits(m.forward(createBatch([tokens]))));
    };
    {
      await using made = await compensate(model, drops, rowsBelow(60), { mode: 'all' });
      expect(made.refits.length).toBeGreaterThan(0);
      await writeDropped(model, drops, out, { replaced: (tensor) => made.weights.get(tensor) });
      using refit = new Model(engine, model.description, made.weights.over(model.parameters));
      refit.setDrops(drops);
      await refit.load();
      await using saved = await loadModel(out, { engine });
      expect(await logits(saved)).toEqual(await logits(refit));
      model.setDrops(drops);
      expect(await logits(saved)).not.toEqual(await logits(model));
      await using checkpoint = await openCheckpoint(out);
      for (const tensor of checkpoint.tensorNames()) expect(checkpoint.info(tensor)).toEqual(model.source.info(tensor));
    }
    await model.close();
  });
});

it('a mixture has its attentions refit, and says what is left alone', async () => {
  const { folder: mixtral } = own.find(({ name }) => name.includes('mixtral'))!;
  await using model = await loadModel(mixtral, { engine });
  await using made = await compensate(model, { attention: [1], mlp: [1] }, rowsBelow(60), { mode: 'all' });
  expect(made.refits.map(({ kind, layer }) => `${kind} ${layer}`)).toEqual(['attention 2']);
  expect(made.leftAlone).toEqual([
    { layer: 1, kind: 'attention' },
    { layer: 1, kind: 'mlp' },
  ]);
});

const config = {
  vocabSize: 50,
  hiddenSize: 12,
  intermediateSize: 20,
  numHiddenLayers: 4,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
};
const rows = rowsBelow(50);
const drops: Drops = { attention: [1], mlp: [2] };

describe.each(allBackends)('%s', (_, create) => {
  it('equals the naive solution', async () => {
    using device = await create();
    using model = await createModel(config, { seed: 3, engine: device });
    const naive = await naiveCompensation(model, drops, rows, { mode: 'all', alpha: 1 });
    await using made = await compensate(model, drops, rows);
    expect(made.weights.names).toEqual(naive.refits.map(({ tensor }) => tensor));
    for (const { tensor, weight } of naive.refits) {
      const source = made.weights.get(tensor)!;
      const values = decodeFloats(await source.readRows(0, source.shape[0]), 'float32');
      // Float32 activations, and sums in float32 where TensorFlow.js has no float64.
      weight.forEach((w, i) => expect(Math.abs(values[i] - w)).toBeLessThan(1e-4));
    }
  });
});

describe('on one machine', () => {
  let model: Model;
  beforeAll(async () => void (model = await createModel(config, { seed: 8, engine })));
  afterAll(() => model.dispose());

  it('a run in memory, one that saves and one with weights given anew have the same bits', async () => {
    await using expected = await compensate(model, drops, rows);
    const path = join(folder, 'same.progress');
    const progress = await ProgressFile.open<CompensationState>(path, {});
    await using saving = await compensate(model, drops, rows, { progress });
    await using apart = await compensate(model, drops, rows, { weights: model.parameters });
    await using spilled = await compensate(model, drops, rows, { maxMemory: 1 });
    const bits = await all(expected);
    for (const made of [saving, apart, spilled]) expect(await all(made)).toEqual(bits);
    await progress.remove();
  });

  it('neither the model’s own weights nor its flags are touched', async () => {
    model.setDrops({ attention: [3], mlp: [] });
    const bytes = model.bytes;
    await using made = await compensate(model, drops, rows, { mode: 'neighbour' });
    expect(made.refits.map(({ kind, layer }) => `${kind} ${layer}`)).toEqual(['mlp 0', 'attention 2']);
    expect([model.drops, model.bytes]).toEqual([{ attention: [3], mlp: [] }, bytes]);
    model.setDrops({ attention: [], mlp: [] });
  });

  it('a refit of other weights aims at the whole model, too', async () => {
    using other = await createModel(config, { seed: 9, engine });
    await using made = await compensate(model, drops, rows, { weights: other.parameters, mode: 'all' });
    for (const { errorBefore, errorAfter } of made.refits) expect(errorAfter).toBeLessThan(errorBefore);
    await using same = await compensate(model, drops, rows, { mode: 'all' });
    expect(made.refits[0].errorBefore).toBeGreaterThan(2 * same.refits[0].errorBefore);
  });

  it('continues to the same bits wherever it was interrupted', async () => {
    await using expected = await compensate(model, drops, rows);
    const bits = await all(expected);
    const stops = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(stops, async (given) => {
        expect(await inPieces([...given, Infinity])).toEqual(bits);
      }),
      { numRuns: 25 },
    );
  });

  /** Interrupted after so many further rows through modules, and continued from what lies on the disk. */
  async function inPieces(stops: readonly number[]): Promise<unknown> {
    const path = join(folder, 'pieces.progress');
    for (const stop of stops) {
      const progress = await ProgressFile.open<CompensationState>(path, { model: 'one' });
      const interrupt = new AbortController();
      let [seen, last] = [0, 0];
      const onProgress = (done: number, total: number): void => {
        expect(done).toBeGreaterThan(last);
        expect(done).toBeLessThanOrEqual(total);
        last = done;
        if (++seen >= stop) interrupt.abort();
      };
      try {
        await using made = await compensate(model, drops, rows, { progress, onProgress, signal: interrupt.signal });
        const result = await all(made);
        await progress.remove();
        expect(readdirSync(folder).filter((name) => name.includes('pieces'))).toEqual([]);
        return result;
      } catch (error) {
        expect(interrupt.signal.aborted, String(error)).toBe(true);
        expect(existsSync(`${path}.streams`)).toBe(true);
      }
    }
    throw new Error('unreachable');
  }

  it.each<[string, CompensateOptions, readonly Int32Array[], RegExp]>([
    ['no rows', {}, [], /at least one calibration row/],
    ['a negative alpha', { alpha: -1 }, rows, /`alpha` must be a number of at least 0, found -1/],
    ['an alpha that is no number', { alpha: NaN }, rows, /`alpha` must be/],
  ])('refuses %s', async (_, o, given, sentence) => {
    await expect(compensate(model, drops, given, o)).rejects.toThrow(sentence);
  });

  it('refuses weights in 4 bits', async () => {
    const parameters = withQuantizer(model.parameters, (source) => source);
    const quantized = new Model(engine, model.description, parameters);
    await expect(compensate(quantized, drops, rows)).rejects.toThrow(/as they are stored/);
  });
});
