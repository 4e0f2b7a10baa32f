/** What a user of the published package writes: compiled strictly against its types, and run. */
import { createBatch, createEngine, createModel, generate, type Engine, type Generation } from 'llm-drop';

async function logitsOf(engine: Engine, model: Awaited<ReturnType<typeof createModel>>): Promise<Float32Array> {
  using _scope = engine.scope();
  return await engine.readFloats(model.logits(model.forward(createBatch([[1, 2, 3]]))));
}

using engine = await createEngine('wasm', { threads: 1 });
const shape = { vocabSize: 40, hiddenSize: 16, intermediateSize: 24, numHiddenLayers: 3, numAttentionHeads: 2 };
using model = await createModel(shape, { seed: 7, engine });

const whole = await logitsOf(engine, model);
if (whole.length !== 3 * shape.vocabSize) throw new Error(`expected logits of 3 tokens, found ${whole.length} numbers`);

model.skip({ attention: [1], mlp: [2] });
const smaller = await logitsOf(engine, model);
if (whole.every((value, i) => value === smaller[i])) throw new Error('a drop changed nothing');

const { tokens }: Generation = await generate(model, [1, 2, 3], { maxTokens: 5, stopTokens: [] });
if (tokens.length !== 5) throw new Error(`expected 5 tokens, found ${tokens.length}`);
