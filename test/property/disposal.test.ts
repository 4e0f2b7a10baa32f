/** A model or an engine that is disposed in the midst of anything: all ends with a UseAfterFreeError, and nothing stays. */
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { compensate, scoreImportance, searchGreedily } from '../../src/drop/index.js';
import { ReferenceOutputs, evaluateLoss } from '../../src/evaluate/index.js';
import { UseAfterFreeError, createBatch, type Engine } from '../../src/engine/index.js';
import { generate, loadModel, type LoadedModel, type Observer } from '../../src/models/index.js';
import { allBackends } from '../support/allBackends.js';

const folder = fileURLToPath(new URL('../fixtures/cases/llama', import.meta.url));
const rows = [0, 1, 2].map((seed) => Int32Array.from({ length: 8 }, (_, i) => (3 * i + seed) % 40));

const works = {
  generation: (model: LoadedModel) => generate(model, [1, 2, 3], { maxTokens: 6, stopTokens: [] }),
  'generation without a cache': (model: LoadedModel) =>
    generate(model, [1, 2, 3], { maxTokens: 6, stopTokens: [], cache: false }),
  loss: (model: LoadedModel) => evaluateLoss(model, rows),
  scoring: (model: LoadedModel) => scoreImportance(model, rows),
  search: (model: LoadedModel) => searchGreedily(model, rows, { target: 'mlp', count: 1 }),
  comparison: async (model: LoadedModel) => {
    using reference = await ReferenceOutputs.of(model, rows);
    await reference.compare();
  },
  refit: async (model: LoadedModel) => {
    await using _refit = await compensate(model, { attention: [0], mlp: [] }, rows);
  },
  loading: async (model: LoadedModel) => {
    model.unload();
    await model.load();
  },
  'loading twice': async (model: LoadedModel) => {
    model.unload();
    const loads = [model.load(), model.load()];
    await Promise.allSettled(loads); // so that nothing goes on once one has failed
    await Promise.all(loads);
  },
} as const;
type Work = keyof typeof works;

/** Ways to be rid of a model, in any order, once or again. */
const ends = ['model', 'engine', 'close'] as const;
const ending = fc.array(fc.constantFrom(...ends), { minLength: 1, maxLength: 4 });

function end(model: LoadedModel, how: (typeof ends)[number]): void {
  if (how === 'model') model.dispose();
  else if (how === 'engine') model.engine.dispose();
  else void model.close();
}

/** Resolves to nothing, or to what it failed with. */
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Each look at the clock finds 20 ms gone, so that every pass gives way after every layer. */
let now = 0;
beforeAll(() => void vi.spyOn(performance, 'now').mockImplementation(() => (now += 20)));
afterAll(() => void vi.restoreAllMocks());

/** Files of the model that this process holds open. */
const openFiles = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return [readlinkSync(join('/proc/self/fd', name))].filter((path) => path.startsWith(folder));
    } catch {
      return [];
    }
  });

describe.each(allBackends)('on %s', (_name, create) => {
  it(
    'what is under way, or waits for its turn, ends by type, and all is freed',
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom(...(Object.keys(works) as Work[])), { minLength: 1, maxLength: 3 }),
          ending,
          fc.nat(30),
          fc.boolean(),
          async (names, how, turns, streamed) => {
            const engine = await create();
            const model = await loadModel(folder, {
              engine,
              memory: streamed ? { bytes: 1, rowLength: 8 } : undefined,
            });
            // What loads begins by unloading, a search drops modules, and of what is not loaded only scores are streamed.
            const kind = (name: Work): string => /^loading|^search/.exec(name)?.[0] ?? 'runs';
            const running = names
              .filter(
                (name) =>
                  kind(name) === kind(names[0]) && (!streamed || name === 'scoring' || kind(name) === 'loading'),
              )
              .map((name) => failure(works[name](model)));
            for (let turn = 0; turn < turns; turn++) await setImmediate();
            for (const one of how) end(model, one);
            for (const error of await Promise.all(running))
              if (error !== undefined) expect(error).toBeInstanceOf(UseAfterFreeError);
            for (const work of Object.values(works))
              expect(await failure(work(model))).toBeInstanceOf(UseAfterFreeError);
            await model.close();
            expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
            if (process.platform === 'linux') expect(openFiles()).toEqual([]);
            engine.dispose();
          },
        ),
        { numRuns: 25 },
      ),
    60_000,
  );

  it(
    'an observer that throws, or disposes the model, leaves nothing behind, without a scope too',
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.constantFrom('stream' as const, 'subLayer' as const, 'input' as const),
          fc.nat(9),
          fc.constantFrom('throws', 'model', 'engine'),
          fc.constantFrom('forward' as const, 'runLayer' as const),
          async (method, after, how, pass) => {
            const engine = await create();
            const model = await loadModel(folder, { engine });
            const before = engine.memory();
            let calls = 0;
            const observer: Observer = {
              [method]: () => {
                if (calls++ < after) return;
                if (how === 'throws') throw new RangeError('an observer');
                end(model, how as 'model' | 'engine');
              },
            };
            const batch = createBatch([rows[0]]);
            const run = async (): Promise<void> => {
              if (pass === 'forward') return model.forward(batch, { observer }).dispose();
              let hidden = model.embed(batch);
              for (const { index } of model.layers) hidden = model.runLayer(index, hidden, batch, { observer });
              hidden.dispose();
            };
            model.forward(batch).dispose(); // makes the tables of its positions
            const tables = engine.memory();
            const error = await failure(run());
            if (how === 'throws' && error !== undefined) {
              expect(error).toBeInstanceOf(RangeError);
              expect(engine.memory()).toEqual(tables);
            } else if (error !== undefined) expect(error).toBeInstanceOf(UseAfterFreeError);
            expect(before.tensors).toBeGreaterThan(0);
            await model.close();
            expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
            engine.dispose();
          },
        ),
        { numRuns: 40 },
      ),
    60_000,
  );
});

it('a model that has an engine of its own disposes it, and an engine that was given stays', async () => {
  const own = await loadModel(folder, { backend: 'reference' });
  own.dispose();
  expect(() => own.engine.tensor([1])).toThrow(UseAfterFreeError);
  const [, create] = allBackends[0];
  using engine: Engine = await create();
  (await loadModel(folder, { engine })).dispose();
  using _works = engine.tensor([1]);
  expect(engine.memory().tensors).toBe(1);
});
