import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, type Engine } from '../../src/engine/index.js';
import { createModel, generate, type Model, type PartialConfig, type Quantize } from '../../src/models/index.js';
import { int8Quantizer, rtnQuantizer } from '../../src/quant/index.js';
import { backends } from '../support/backends.js';
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

describe.each(backends)('%s: a model in int8', (_, factory, backend) => {
  let engine: Engine;
  let reference: Engine;
  beforeAll(async () => {
    engine = await factory();
    reference = await createEngine('reference');
  });
  afterAll(() => [engine, reference].forEach((each) => each.dispose()));

  const run = async (config: PartialConfig, engine: Engine, quantize?: Quantize): Promise<Float32Array> => {
    using model = await createModel(config, { seed: 5, engine, quantize });
    return await logits(model);
  };

  it.each(configs)('%s: gives what the reference does with the same weights', async (_, config) => {
    const expected = await run(config, reference, int8Quantizer());
    const most = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    // On wasm an activation is off by some 2e-5 of a typical one (up to 2^-16 of its group's largest), which three layers
    // of random weights carry on and a few of thousands of logits exceed by several deviations.
    const actual = await run(config, engine, int8Quantizer());
    expectClose(actual, expected, (backend === 'wasm' ? 3e-4 : 2e-5) * most);
    expect(distance(actual, expected)).toBeLessThan(2e-4);
  });

  it.each(configs)('%s: is near the float model', async (_, config) => {
    const float = await run(config, reference);
    // Random weights in groups of 32 are off by less than a hundredth each; three layers and a head carry that on.
    for (const head of ['int8', 'bf16', 'float'] as const)
      expect(distance(await run(config, engine, int8Quantizer({ head })), float)).toBeLessThan(0.03);
  });

  it('an int8 head goes with int4 weights', async () => {
    const [mixed, int4] = await Promise.all(
      (['int8', 'int4'] as const).map((head) => run(sizes, reference, rtnQuantizer({ head }))),
    );
    const float = await run(sizes, reference, rtnQuantizer({ head: 'float' }));
    expect(distance(mixed, float)).toBeLessThan(0.1 * distance(int4, float));
  });

  it('takes 8.5 bits a weight and generates', async () => {
    if (backend !== 'wasm') return;
    const config = { ...sizes, hiddenSize: 128, intermediateSize: 256 };
    using model = await createModel(config, { engine, quantize: int8Quantizer() });
    const weights = 2 * 304 * 128 + 3 * (128 * (128 + 64 + 64 + 128) + 3 * 128 * 256);
    // 300 rows fill 19 panels of 16.
    expect(model.bytes).toBe(weights * (8.5 / 8) + 4 * 7 * 128);
    expect((await generate(model, [1, 2, 3], { maxTokens: 5 })).tokens).toHaveLength(5);
  });
});
