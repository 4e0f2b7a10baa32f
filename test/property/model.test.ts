/**
 * What must hold of any model on any backend. `bound` is relative to the largest |logit|: two float32 evaluations of
 * the same network that only differ in the order of sums stay within a few hundred units of 2^-24 of each other at
 * these sizes (at most 64 terms a sum and 7 sub-layers, each sum off by at most 64 * 2^-24 relative to its absolute terms).
 */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CacheError, createBatch, type Engine, type KvCache } from '../../src/engine/index.js';
import { createModel, layerWeights, type InputEvent, type Model } from '../../src/models/index.js';
import { cutPoints, dropSets, modelSpecs, raggedTokens, type ModelSpec } from '../../src/testing/index.js';
import { allBackends, largestMagnitude } from '../support/allBackends.js';
import { expectClose } from '../support/expectClose.js';

const bound = 1e-4;

const cases = modelSpecs().chain((spec) =>
  fc.record({
    spec: fc.constant(spec),
    sequences: raggedTokens(spec.config.vocabSize, { max: 3 }, { max: 12 }),
    drops: dropSets(spec.config.numHiddenLayers),
  }),
);

describe.each(allBackends)('%s', (name, create) => {
  const numRuns = name === 'wasm' ? 60 : 15;
  let engine: Engine;
  beforeAll(async () => void (engine = await create()));
  afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
  afterAll(() => engine.dispose());

  const withModel = async <T>({ config, seed }: ModelSpec, use: (model: Model) => Promise<T>): Promise<T> => {
    using model = await createModel(config, { seed, engine });
    return await use(model);
  };

  /** Logits [T, V] of a batch, without a cache. */
  const logitsOf = async (model: Model, sequences: ArrayLike<number>[]): Promise<Float32Array> => {
    using _scope = engine.scope();
    return await engine.readFloats(model.logits(model.forward(createBatch(sequences))));
  };

  const close = (actual: Float32Array, expected: Float32Array): void =>
    expectClose(actual, expected, bound * Math.max(1e-3, largestMagnitude(expected)));

  it('a ragged batch gives what its sequences give alone', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ spec, sequences, drops }) =>
        withModel(spec, async (model) => {
          model.skip(drops);
          const together = await logitsOf(model, sequences);
          const alone: number[] = [];
          for (const sequence of sequences) alone.push(...(await logitsOf(model, [sequence])));
          close(together, Float32Array.from(alone));
        }),
      ),
      { numRuns },
    );
  });

  it('a pass whose inputs are observed gives the same logits, and shows each projection its input once', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ spec, sequences, drops }) =>
        withModel(spec, async (model) => {
          model.skip(drops);
          const seen: string[] = [];
          using _scope = engine.scope();
          const observer = {
            input: ({ layer, paths, input }: InputEvent): void => {
              const weights = layerWeights(model.description.layers[layer]);
              const width = weights.find(({ projection }) => projection === paths[0])!.shape.at(-1);
              expect(input.shape).toEqual([sequences.flatMap((tokens) => Array.from(tokens)).length, width]);
              seen.push(...paths.map((path) => `${layer} ${path}`));
            },
          };
          const batch = createBatch(sequences);
          const observed = await engine.readFloats(model.logits(model.forward(batch, { observer })));
          close(observed, await logitsOf(model, sequences));
          const kinds = model.layers.flatMap((layer) =>
            (['attention', 'mlp'] as const).filter((kind) => !layer.skips(kind)).map((kind) => [layer.index, kind]),
          );
          expect(new Set(seen).size).toBe(seen.length);
          expect(new Set(seen.map((name) => name.replace(/[.].*/, '')))).toEqual(
            new Set(kinds.map((pair) => pair.join(' '))),
          );
        }),
      ),
      { numRuns },
    );
  });

  it('any split into prefill and decode steps gives the logits of one pass', async () => {
    const splits = cases.chain((c) => fc.record({ c: fc.constant(c), cuts: cutPoints(c.sequences[0].length) }));
    await fc.assert(
      fc.asyncProperty(
        splits,
        ({
          c: {
            spec,
            sequences: [sequence],
            drops,
          },
          cuts,
        }) =>
          withModel(spec, async (model) => {
            model.skip(drops);
            const parts: number[] = [];
            using cache = model.createCache({ slots: 2, capacity: sequence.length });
            for (let i = 1; i < cuts.length; i++) {
              using _scope = engine.scope();
              const hidden = model.forward(createBatch([sequence.slice(cuts[i - 1], cuts[i])], [cuts[i - 1]], [1]), {
                cache,
              });
              parts.push(...(await engine.readFloats(model.logits(hidden))));
            }
            close(Float32Array.from(parts), await logitsOf(model, [sequence]));
          }),
      ),
      { numRuns },
    );
  });

  it('skipping all layers gives the logits of the embedding alone', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ spec, sequences }) =>
        withModel(spec, async (model) => {
          const all = model.layers.map(({ index }) => index);
          model.setDrops({ attention: all, mlp: all });
          const without = await withModel(
            { ...spec, config: { ...spec.config, dropAttention: all, dropMlp: all } },
            (empty) => logitsOf(empty, sequences),
          );
          expect(await logitsOf(model, sequences)).toEqual(without);
          using _scope = engine.scope();
          const batch = createBatch(sequences);
          const hidden = await engine.readFloats(model.forward(batch));
          expect(hidden).toEqual(await engine.readFloats(model.embed(batch)));
          expect(model.kvBytesPerToken()).toBe(0);
        }),
      ),
      { numRuns },
    );
  });

  it('flags on and off again restore the output bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ spec, sequences, drops }) =>
        withModel(spec, async (model) => {
          const before = await logitsOf(model, sequences);
          model.setDrops(drops);
          await logitsOf(model, sequences);
          model.setDrops({ attention: [], mlp: [] });
          expect(await logitsOf(model, sequences)).toEqual(before);
        }),
      ),
      { numRuns },
    );
  });

  it('an observed pass gives the same output bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ spec, sequences }) =>
        withModel(spec, async (model) => {
          using _scope = engine.scope();
          const seen: string[] = [];
          const observed = model.forward(createBatch(sequences), {
            observer: { subLayer: ({ layer, kind }) => void seen.push(`${layer} ${kind}`) },
          });
          expect(await engine.readFloats(observed)).toEqual(
            await engine.readFloats(model.forward(createBatch(sequences))),
          );
          expect(seen).toEqual(model.layers.flatMap(({ index }) => [`${index} attention`, `${index} mlp`]));
        }),
      ),
      { numRuns },
    );
  });

  it('a cache is refused under other flags, and goes on under those it was made for', async () => {
    const spec = fc.sample(modelSpecs({ types: ['llama'] }), { numRuns: 1, seed: 7 })[0];
    await withModel(spec, async (model) => {
      const before = model.drops;
      using _scope = engine.scope();
      const next = async (disturb: (cache: KvCache) => void): Promise<Float32Array> => {
        using cache = model.createCache({ capacity: 8 });
        model.forward(createBatch([[1, 2]]), { cache });
        disturb(cache);
        return await engine.readFloats(model.forward(createBatch([[3]], [2]), { cache }));
      };
      const undisturbed = await next(() => undefined);
      for (const kind of ['attention', 'mlp'] as const)
        expect(
          await next((cache) => {
            model.skip({ [kind]: model.layers.map(({ index }) => index) });
            expect(() => model.forward(createBatch([[3]], [2]), { cache })).toThrow(CacheError);
            model.setDrops(before);
          }),
        ).toEqual(undisturbed);
    });
  });

  it('a cache of another model is refused', async () => {
    const spec = fc.sample(modelSpecs({ types: ['llama'] }), { numRuns: 1, seed: 7 })[0];
    await withModel(spec, (model) =>
      withModel(spec, async (other) => {
        using cache = other.createCache({ capacity: 8 });
        using _scope = engine.scope();
        expect(() => model.forward(createBatch([[1, 2]]), { cache })).toThrow(CacheError);
      }),
    );
  });
});
