/** Properties of refits on random models: the closed form of the specification, and what follows from it. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compensate, compensationModes, type Compensation } from '../../src/drop/index.js';
import { arraySource, createEngine, decodeFloats, type Engine } from '../../src/engine/index.js';
import {
  allWeights,
  createModel,
  matrixRole,
  modulesOf,
  outputWeight,
  tensorNames,
  type Drops,
  type Model,
} from '../../src/models/index.js';
import { dropSets, modelSpecs, tokenRows, type ModelSpec } from '../../src/testing/index.js';
import { distance, naiveCompensation, naiveOrder, watch, withWeights } from '../support/naiveCompensation.js';

let engine: Engine;
beforeAll(async () => void (engine = await createEngine('wasm')));
afterAll(() => {
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
});

interface Case {
  readonly spec: ModelSpec;
  readonly drops: Drops;
  readonly rows: readonly Int32Array[];
  readonly mode: (typeof compensationModes)[number];
  readonly alpha: number;
}

/** Tokens below 5 are in every model's vocabulary. */
const cases = modelSpecs({ maxLayers: 4 }).chain((spec) =>
  fc.record({
    spec: fc.constant(spec),
    drops: dropSets(spec.config.numHiddenLayers!),
    rows: tokenRows(5, { max: 3 }, { min: 2, max: 9 }),
    mode: fc.constantFrom(...compensationModes),
    alpha: fc.constantFrom(0.05, 0.3, 1, 5),
  }),
);

async function holds(check: (c: Case, model: Model) => Promise<void>, numRuns = 25): Promise<void> {
  await fc.assert(
    fc.asyncProperty(cases, async (c) => {
      using model = await createModel(c.spec.config, { seed: c.spec.seed, engine });
      const writes = model.description.layers.flatMap(modulesOf).some(([, module]) => outputWeight(module));
      if (writes) await check(c, model);
      else await expect(compensate(model, c.drops, c.rows, c)).rejects.toThrow(/cannot be refit: a norm comes behind/);
    }),
    { numRuns },
  );
}

const values = async (from: { weights: Compensation['weights'] }, name: string): Promise<Float32Array> => {
  const source = from.weights.get(name)!;
  return decodeFloats(await source.readRows(0, source.shape[0]), source.dtype);
};
const largest = (a: ArrayLike<number>): number => Array.from(a).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

/**
 * Both round activations to float32 (6e-8) on their way through up to 8 modules, and D multiplies what they differ by
 * with at most 1 / sqrt(lambda / tokens): about 5 where alpha is 0.05. Seen: 1e-6 to 2e-5.
 */
const tolerance = 2e-4;

describe('a refit', () => {
  it('is what whole passes, sums in float64 and elimination give', async () => {
    let refits = 0;
    await holds(async ({ drops, rows, mode, alpha }, model) => {
      const naive = await naiveCompensation(model, drops, rows, { mode, alpha });
      await using made = await compensate(model, drops, rows, { mode, alpha });
      expect(made.refits.map(({ tensor }) => tensor)).toEqual(naive.refits.map(({ tensor }) => tensor));
      expect([...made.weights.names]).toEqual(naive.refits.map(({ tensor }) => tensor));
      const tokens = rows.reduce((sum, { length }) => sum + length, 0);
      for (const [i, expected] of naive.refits.entries()) {
        refits++;
        const actual = await values(made, expected.tensor);
        expect(largestDifference(actual, expected.weight)).toBeLessThan(
          tolerance * Math.max(1, largest(expected.weight)),
        );
        const { lambda, errorBefore, errorAfter } = made.refits[i];
        expect(Math.abs(lambda - expected.lambda)).toBeLessThan(tolerance * Math.max(1e-3, expected.lambda));
        // Squares of differences of streams, which are rounded to 6e-8 of their size; what is left after a good fit is
        // the small difference of large sums.
        for (const [is, was] of [
          [errorBefore, expected.before / tokens],
          [errorAfter, expected.after / tokens],
        ])
          expect(Math.abs(is - was)).toBeLessThan(1e-3 * was + (1e-6 * expected.before) / tokens + 1e-9);
      }
      // A case has 1.2 refits on average, many have none: fewer runs than these come to 20 or less now and then.
    }, 60);
    expect(refits).toBeGreaterThan(20);
  }, 60_000);

  it('never raises the squared error on the rows it was fitted on, its own size included', async () => {
    await holds(async ({ drops, rows, mode, alpha }, model) => {
      await using made = await compensate(model, drops, rows, { mode, alpha });
      using loaded = await withWeights(model, new Map(), { attention: [], mlp: [] });
      const whole = await watch(loaded, rows);
      const weights = new Map<string, ReturnType<Compensation['weights']['get']> & object>();
      for (const { layer, kind, tensor, lambda } of made.refits) {
        const behind = naiveOrder(model.layers.length, drops).find((m) => m.layer === layer && m.kind === kind)!.behind;
        const target = whole.get(behind.at(-1) ?? `${kind} ${layer}`)!.after;
        const error = async (): Promise<number> => {
          using dropped = await withWeights(model, weights, drops);
          return distance(target, (await watch(dropped, rows)).get(`${kind} ${layer}`)!.after);
        };
        const before = await error();
        weights.set(tensor, made.weights.get(tensor)!);
        const source = model.parameters.source(tensor);
        const old = decodeFloats(await source.readRows(0, source.shape[0]), 'float32');
        const change = (await values(made, tensor)).map((w, i) => w - old[i]);
        const size = change.reduce((sum, d) => sum + d * d, 0);
        const scale = distance(
          target,
          target.map((line) => line.map(() => 0)),
        );
        // float32 rounds D to 6e-8 of W and the streams to 6e-8 of themselves; errors are squares.
        expect((await error()) + lambda * size).toBeLessThanOrEqual(before * (1 + 1e-4) + 1e-11 * scale);
      }
    });
  }, 60_000);

  it('changes nothing where nothing is dropped', () =>
    holds(async ({ rows, mode, alpha }, model) => {
      await using made = await compensate(model, { attention: [], mlp: [] }, rows, { mode, alpha });
      expect([made.refits, made.weights.names]).toEqual([[], []]);
    }));

  it('is the identity where what was dropped did nothing', () =>
    holds(async ({ drops, rows, mode, alpha }, made) => {
      // Output projections of zeros, of experts too: such a module adds exactly nothing.
      const silenced = new Map(
        allWeights(made.description)
          .filter((weight) => matrixRole(weight) === 'output' && drops[weight.module!].includes(weight.layer!))
          .flatMap(tensorNames)
          .map((name) => {
            const { shape } = made.parameters.source(name);
            return [name, arraySource(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, { name })] as const;
          }),
      );
      using model = await withWeights(made, silenced, { attention: [], mlp: [] });
      await using refit = await compensate(model, drops, rows, { mode, alpha });
      for (const { tensor } of refit.refits) {
        const source = model.parameters.source(tensor);
        const old = decodeFloats(await source.readRows(0, source.shape[0]), 'float32');
        // Fused and observed passes round differently, by 6e-8 of the streams.
        expect(largestDifference(await values(refit, tensor), old)).toBeLessThan(1e-4);
      }
    }));

  it('does not depend on the order of the rows, but for rounding', () =>
    holds(async ({ drops, rows, mode, alpha }, model) => {
      await using made = await compensate(model, drops, rows, { mode, alpha });
      await using turned = await compensate(model, drops, [...rows].reverse(), { mode, alpha });
      for (const { tensor } of made.refits) {
        const [one, other] = [await values(made, tensor), await values(turned, tensor)];
        expect(largestDifference(one, other)).toBeLessThan(tolerance * Math.max(1, largest(one)));
      }
    }));
});
