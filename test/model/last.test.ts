/** Passes of which only each sequence's last token is asked for, beside whole ones. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, UserError, type Engine } from '../../src/engine/index.js';
import { loadModel, type Drops, type LoadedModel, type PassOptions } from '../../src/models/index.js';
import { allBackends, largestMagnitude } from '../support/allBackends.js';
import { expectClose } from '../support/expectClose.js';
import { oracleFolders } from '../support/oracleCases.js';

const folders = oracleFolders().filter(({ name }) => name.startsWith('fixtures/'));
const tokens = (seed: number, length: number): Int32Array =>
  Int32Array.from({ length }, (_, i) => (i * (seed + 3) + seed) % 60);

describe.each(folders)('$name', ({ folder }) => {
  // The reference computes each row by itself, whatever rows are beside it: there, equal means equal.
  describe.each(allBackends)('%s', (backend, create) => {
    let engine: Engine, model: LoadedModel;
    beforeAll(async () => {
      engine = await create();
      model = await loadModel(folder, { engine });
    });
    afterEach(() => model.setDrops({ attention: [], mlp: [] }));
    afterAll(async () => {
      await model?.close();
      engine?.dispose();
    });

    const all = (): number[] => model.layers.map(({ index }) => index);
    const drops: [string, () => Drops][] = [
      ['nothing', () => ({ attention: [], mlp: [] })],
      ['the last attentions', () => ({ attention: all().slice(1), mlp: [] })],
      ['the last MLPs', () => ({ attention: [0], mlp: all().slice(1) })],
      ['every attention', () => ({ attention: all(), mlp: [0] })],
      ['everything', () => ({ attention: all(), mlp: all() })],
    ];

    /** Logits after a pass over two sequences, one more of both, and a single token each, in a cache. */
    async function logits(last: boolean): Promise<Float32Array[]> {
      using cache = model.createCache({ slots: 2, capacity: 32 });
      const found: Float32Array[] = [];
      for (const lengths of [
        [9, 5],
        [2, 7],
        [1, 1],
      ]) {
        using _scope = engine.scope();
        const starts = Array.from(cache.lengths);
        const batch = createBatch(
          lengths.map((length, slot) => tokens(slot + starts[slot], length)),
          starts,
        );
        const hidden = model.forward(batch, { cache, last });
        const ends = [lengths[0], lengths[0] + lengths[1]];
        const asked = last ? [hidden] : ends.map((end) => hidden.rows(end - 1, end));
        for (const rows of asked) found.push(...split(await engine.readFloats(model.logits(rows))));
      }
      return found;
    }
    const split = (rows: Float32Array): Float32Array[] => {
      const width = model.config.vocabSize;
      return Array.from({ length: rows.length / width }, (_, i) => rows.slice(i * width, (i + 1) * width));
    };

    it.each(drops)('gives what a whole pass gives: without %s', async (_, dropped) => {
      model.setDrops(dropped());
      const [whole, last] = [await logits(false), await logits(true)];
      expect(last).toHaveLength(6);
      for (const [i, expected] of whole.entries()) {
        if (backend === 'reference') expect(last[i]).toEqual(expected);
        // Sums of a single row have another order: a fifth of what the oracle's own float32 allows its cases.
        else expectClose(last[i], expected, 2e-5 * largestMagnitude(expected));
      }
    });

    it.each(drops)('runs no more rows than that takes: without %s', (_, dropped) => {
      model.setDrops(dropped());
      const rowsOf = (options: PassOptions): [string, number][] => {
        const rows: [string, number][] = [];
        using _scope = engine.scope();
        const subLayer: NonNullable<PassOptions['observer']>['subLayer'] = ({ layer, kind, delta }) =>
          void rows.push([`${kind} ${layer}`, delta.shape[0]]);
        model.forward(createBatch([tokens(1, 9), tokens(2, 5)]), { ...options, observer: { subLayer } });
        return rows;
      };
      const [whole, last] = [rowsOf({}), rowsOf({ last: true })];
      const final = whole.findLastIndex(([name]) => name.startsWith('attention'));
      expect(last).toEqual(whole.map(([name], i) => [name, i < final ? 14 : 2]));
    });
  });
});

it('a sequence without a token has no last one', async () => {
  using engine = await createEngine('reference');
  await using model = await loadModel(folders[0].folder, { engine });
  using _scope = engine.scope();
  expect(() => model.forward(createBatch([[1, 2], []]), { last: true })).toThrow(UserError);
  expect(model.forward(createBatch([[1, 2], []])).shape[0]).toBe(2);
});
