/** One weight of a random model is no number, or so large that sums overflow: no number comes of what is none. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { gateNormImportance, metrics, scoreImportance, searchGreedily } from '../../src/drop/index.js';
import { NotFiniteError, arraySource, decodeFloats, type Engine, type WeightSource } from '../../src/engine/index.js';
import { ReferenceOutputs, computeLogits, evaluateLoss } from '../../src/evaluate/index.js';
import {
  Model,
  allWeights,
  describeConfig,
  generate,
  randomParameters,
  tensorNames,
  tensorPlaces,
  type Parameters,
} from '../../src/models/index.js';
import { modelSpecs, tokenRows, type ModelSpec } from '../../src/testing/index.js';
import { allBackends } from '../support/allBackends.js';

/** A random model of which one number is another. */
async function changed(
  { config, seed }: ModelSpec,
  at: number,
  value: number,
): Promise<{ parameters: Parameters; tensor: string }> {
  const weights = allWeights(describeConfig(config));
  const random = randomParameters(weights, seed);
  const names = weights.flatMap(tensorNames);
  const tensor = names[at % names.length];
  const { shape } = random.source(tensor);
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const values = decodeFloats(await random.source(tensor).readRows(0, rows), 'float32').slice();
  values[at % values.length] = value;
  const source: WeightSource = arraySource(values, shape, { name: tensor });
  return { tensor, parameters: { ...random, source: (name) => (name === tensor ? source : random.source(name)) } };
}

const cases = fc.record({
  spec: modelSpecs({ maxLayers: 2 }),
  at: fc.nat(1e6),
  rows: tokenRows(5, { min: 1, max: 2 }, { min: 2, max: 6 }),
});

/** Every number of a result, however deep it lies. */
function numbersOf(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  if (ArrayBuffer.isView(value)) return [...(value as Float32Array)];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersOf) : [];
}

/** What is made of a loaded model, as numbers. */
const results: Record<string, (model: Model, rows: Int32Array[]) => Promise<unknown>> = {
  loss: async (model, rows) => {
    const { perplexity: _, ...loss } = await evaluateLoss(model, rows);
    return loss;
  },
  comparison: async (model, rows) => {
    using reference = await ReferenceOutputs.of(model, rows);
    const { perplexity: _, ...compared } = await reference.compare();
    return compared;
  },
  logits: (model, rows) => computeLogits(model, [Array.from(rows[0])]),
  scores: async (model, rows) => {
    const all = [];
    for (const metric of metrics) all.push(await scoreImportance(model, rows, { metric }));
    return all;
  },
  'streamed scores': async ({ engine, description, parameters }, rows) => {
    using model = new Model(engine, description, parameters);
    return await scoreImportance(model, rows);
  },
  'Gate-Norm': (model) => gateNormImportance(model),
  search: async (model, rows) => {
    const now = model.drops;
    const { steps } = await searchGreedily(model, rows, { target: 'joint', count: 1 });
    model.setDrops(now);
    return steps;
  },
  generation: async (model, rows) => {
    const options = { maxTokens: 2, stopTokens: [] };
    return [await generate(model, rows[0], options), await generate(model, rows[0], { ...options, temperature: 1 })];
  },
};

/** Each result is finite throughout, or refused as not finite. */
async function expectNumbers(
  model: Model,
  rows: Int32Array[],
  refused: (error: NotFiniteError) => void = () => {},
): Promise<void> {
  for (const [what, result] of Object.entries(results))
    await result(model, rows).then(
      (made) => expect(numbersOf(made).every(Number.isFinite), what).toBe(true),
      (thrown: unknown) => {
        if (!(thrown instanceof NotFiniteError)) throw thrown;
        refused(thrown);
      },
    );
}

const moduleOf = ({ config }: ModelSpec, tensor: string): string | undefined =>
  tensorPlaces(allWeights(describeConfig(config))).get(tensor)?.weight.module;

describe.each(allBackends.filter(([name]) => name !== 'tfjs'))('%s: a weight', (backend, create) => {
  const numRuns = backend === 'wasm' ? 60 : 15;
  let engine: Engine;
  beforeAll(async () => void (engine = await create()));
  afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
  afterAll(() => engine.dispose());

  it('that is no number gives none', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.constantFrom(NaN, Infinity, -Infinity), async ({ spec, at, rows }, value) => {
        const { parameters, tensor } = await changed(spec, at, value);
        using model = new Model(engine, describeConfig(spec.config), parameters);
        const error = await model.load().then(
          () => undefined,
          (thrown: unknown) => thrown as Error,
        );
        if (error) {
          expect(error).toBeInstanceOf(NotFiniteError);
          // Of a stack of experts in memory, the first names all.
          expect(error.message.replace(/experts\.\d+/, 'experts.0')).toContain(
            tensor.replace(/experts\.\d+/, 'experts.0'),
          );
          return;
        }
        // The reference takes arrays as they are.
        expect(backend).toBe('reference');
        await expectNumbers(model, rows, ({ place: { tensor: named, layer, module } }) => {
          if (layer === undefined) return;
          expect(`${layer} ${module}`).toBe(`${Number(/layers\.(\d+)\./.exec(tensor)![1])} ${moduleOf(spec, tensor)}`);
          expect(named?.replace(/experts\.\d+/, 'experts.0')).toBe(tensor.replace(/experts\.\d+/, 'experts.0'));
        });
      }),
      { numRuns },
    );
  });

  it('so large that sums overflow gives finite numbers, or is told of', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.constantFrom(3e38, -3e38, 1e30, 1e20), async ({ spec, at, rows }, value) => {
        const { parameters } = await changed(spec, at, value);
        using model = await new Model(engine, describeConfig(spec.config), parameters).load();
        await expectNumbers(model, rows);
      }),
      { numRuns },
    );
  });
});
