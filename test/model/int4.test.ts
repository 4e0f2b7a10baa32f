import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, type Engine } from '../../src/engine/index.js';
import { createModel, generate, type Model, type PartialConfig, type Quantize } from '../../src/models/index.js';
import { randomQuantizer, rtnQuantizer } from '../../src/quant/index.js';
import { expectClose } from '../support/expectClose.js';

const sizes = {
  vocabSize: 300,
  hiddenSize: 96,
  intermediateSize: 200,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
};
const configs: [name: string, config: PartialConfig][] = [
  ['llama, tied', { ...sizes, tieWordEmbeddings: true, attentionBias: true }],
  ['llama', sizes],
  ['mixtral', { ...sizes, modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 }],
];
const batch = createBatch([
  [1, 2, 3, 4, 5, 6, 7],
  [250, 3],
]);

async function logits(model: Model): Promise<Float32Array> {
  using _scope = model.engine.scope();
  return await model.engine.readFloats(model.logits(model.forward(batch)));
}

const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / b.reduce((sum, x) => sum + x ** 2, 0));

describe('a model in int4', () => {
  let engines: Record<'reference' | 'exact' | 'fast', Engine>;
  beforeAll(async () => {
    engines = {
      reference: await createEngine('reference'),
      exact: await createEngine('wasm', { int4: 'exact' }),
      fast: await createEngine('wasm'),
    };
  });
  afterAll(() => Object.values(engines).forEach((engine) => engine.dispose()));

  it.each(configs)('%s: exact is the reference, fast is near it', async (_, config) => {
    const quantize = rtnQuantizer({ groupSize: 32, head: 'int4' });
    const run = async (engine: Engine): Promise<Float32Array> => {
      using model = await createModel(config, { seed: 5, engine, quantize });
      return await logits(model);
    };
    const expected = await run(engines.reference);
    const most = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    // Three layers of float32 sums of at most 200 products.
    expectClose(await run(engines.exact), expected, 2e-5 * most);
    // An activation is off by at most 1 / 254 of its group's largest: some tenths of a percent in each product.
    expect(distance(await run(engines.fast), expected)).toBeLessThan(0.03);
  });

  it.each(configs)('%s: is near the float model', async (_, config) => {
    const run = async (quantize?: Quantize): Promise<Float32Array> => {
      using model = await createModel(config, { seed: 5, engine: engines.exact, quantize });
      return await logits(model);
    };
    const float = await run();
    // Random weights in groups of 32 are off by about a tenth each; three layers and a head carry that on.
    for (const symmetric of [true, false])
      expect(distance(await run(rtnQuantizer({ symmetric, head: 'int4' })), float)).toBeLessThan(0.5);
    for (const head of ['bf16', 'float'] as const)
      expect(distance(await run(rtnQuantizer({ head })), float)).toBeLessThan(0.4);
  });

  it('made of random int4 weights takes 4.5 bits a weight and generates', async () => {
    const config = { ...sizes, hiddenSize: 128, intermediateSize: 256 };
    using model = await createModel(config, {
      engine: engines.fast,
      quantize: randomQuantizer({ groupSize: 32, seed: 2 }),
    });
    const weights = 2 * 300 * 128 + 3 * (128 * (128 + 64 + 64 + 128) + 3 * 128 * 256);
    // 300 rows fill 19 panels of 16.
    expect(model.bytes).toBe((weights + 2 * 4 * 128) * (4.5 / 8) + 4 * 7 * 128);
    expect((await generate(model, [1, 2, 3], { maxTokens: 5 })).tokens).toHaveLength(5);
  });
});
