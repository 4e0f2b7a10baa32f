/** What a description can say beyond Llama's, on random models: each against the same said by other weights, and the reference. */
import { describe, expect, it } from 'vitest';
import { arraySource, createBatch, createEngine, decodeFloats, type Engine } from '../../src/engine/index.js';
import {
  Model,
  allWeights,
  describeConfig,
  randomParameters,
  tensorNames,
  type AttentionDescription,
  type MlpDescription,
  type ModelDescription,
  type Parameters,
  type WeightSpec,
} from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';

const plain = describeConfig({
  vocabSize: 40,
  hiddenSize: 24,
  intermediateSize: 36,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  maxPositionEmbeddings: 64,
});
const weights = randomParameters(allWeights(plain), 11);
const tokens = [3, 17, 5, 29, 8, 1, 30];

const layersWith = (a: Partial<AttentionDescription>, m: Partial<MlpDescription> = {}): ModelDescription['layers'] =>
  plain.layers.map(({ attention, mlp }) => ({
    attention: { ...attention, ...a },
    mlp: { ...mlp, ...m } as MlpDescription,
  }));

/** The weights of some specs times a factor. */
function scaled(times: (spec: WeightSpec) => number): Parameters {
  const factors = new Map(allWeights(plain).flatMap((spec) => tensorNames(spec).map((name) => [name, times(spec)])));
  return {
    ...weights,
    source: (name) => {
      const source = weights.source(name);
      const rows = source.shape.slice(0, -1).reduce((a, b) => a * b, 1);
      return {
        ...source,
        readRows: async (start, end) => {
          const values = decodeFloats(await weights.source(name).readRows(0, rows), 'float32');
          const changed = arraySource(
            values.map((value) => value * (factors.get(name) as number)),
            source.shape,
            { name },
          );
          return changed.readRows(start, end);
        },
      };
    },
  };
}

/** Logits [T, V] in one pass. */
async function logitsOf(engine: Engine, description: ModelDescription, parameters: Parameters): Promise<Float32Array> {
  using model = new Model(engine, description, parameters);
  await model.load();
  using _scope = engine.scope();
  return await engine.readFloats(model.logits(model.forward(createBatch([tokens]))));
}

/** Logits of the last token where tokens came one by one, most of them by a recorded pass. */
async function stepLogits(engine: Engine, description: ModelDescription): Promise<Float32Array> {
  using model = new Model(engine, description, weights);
  await model.load();
  using cache = model.createCache({ capacity: 16 });
  let last: Float32Array = new Float32Array();
  for (const [start, token] of tokens.entries())
    await engine.exclusive(async () => {
      const hidden = model.forward(createBatch([[token]], [start]), { cache });
      last = await engine.readFloats(model.logits(hidden));
    });
  return last;
}

/** Logits are a few units large and sums of some hundred products: float32 leaves four digits and more. */
const near = 1e-4;

const everything: ModelDescription = {
  ...plain,
  embedding: { ...plain.embedding, scale: 3 },
  head: { ...plain.head, scale: 0.7, softCap: 2 },
  layers: layersWith(
    { softCap: 1.5, rotaryDim: 4, slopes: [0.5, 0.25, 0.125, 0.0625], multiplier: 0.6, window: 4 },
    { activation: 'gelu_tanh', multiplier: 0.4 },
  ),
};

describe.each(['reference', 'wasm'] as const)('%s', (backend) => {
  it('multiplies the embedding by its scale', async () => {
    using engine = await createEngine(backend);
    const said = await logitsOf(engine, { ...plain, embedding: { ...plain.embedding, scale: 3 } }, weights);
    const made = await logitsOf(
      engine,
      plain,
      scaled(({ role }) => (role === 'embedding' ? 3 : 1)),
    );
    expectClose(said, made, near);
  });

  it('multiplies what a module adds', async () => {
    using engine = await createEngine(backend);
    const said = await logitsOf(
      engine,
      { ...plain, layers: layersWith({ multiplier: 0.5 }, { multiplier: 0.25 }) },
      weights,
    );
    const made = await logitsOf(
      engine,
      plain,
      scaled(({ role, module }) => (role !== 'output' ? 1 : module === 'attention' ? 0.5 : 0.25)),
    );
    expectClose(said, made, near);
  });

  it('computes the same token by token, from a cache', async () => {
    using engine = await createEngine(backend);
    const whole = await logitsOf(engine, everything, weights);
    expectClose(await stepLogits(engine, everything), whole.slice(-plain.config.vocabSize), near);
  });

  it('changes something by each thing that is said', async () => {
    using engine = await createEngine(backend);
    const whole = await logitsOf(engine, everything, weights);
    const without: ModelDescription[] = [
      { ...everything, head: plain.head },
      { ...everything, embedding: plain.embedding },
      ...(['softCap', 'rotaryDim', 'slopes', 'multiplier', 'window'] as const).map((key) => ({
        ...everything,
        layers: everything.layers.map((layer) => ({ ...layer, attention: { ...layer.attention, [key]: undefined } })),
      })),
    ];
    for (const description of without) {
      const other = await logitsOf(engine, description, weights);
      expect(Math.max(...other.map((value, i) => Math.abs(value - whole[i])))).toBeGreaterThan(1e-4);
    }
  });
});

it('is the same on wasm as by the reference', async () => {
  using reference = await createEngine('reference');
  using wasm = await createEngine('wasm');
  expectClose(await logitsOf(wasm, everything, weights), await logitsOf(reference, everything, weights), near);
});
