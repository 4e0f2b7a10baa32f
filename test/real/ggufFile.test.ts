/**
 * SmolLM2-135M as the GGUF file that people have (Q4_1, and Q8_0 for the embedding), on the `wasm` backend, against
 * transformers in float32 on the dequantized weights: with the blocks as the float32 that they stand for, and as the engine
 * holds them.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { loadModel, openModel, type LoadedModel } from '../../src/models/index.js';
import { shared, withoutShared } from '../support/oracleCases.js';
import { expectLoss, expectScores, realRows, realScores, type RealScores } from '../support/realScores.js';

const name = 'SmolLM2-135M-Instruct';

describe.skipIf(withoutShared(name))(`${name}, its GGUF file`, () => {
  let engine: Engine, expected: RealScores, rows: Int32Array[], path: string;
  beforeAll(async () => {
    engine = await createEngine('wasm');
    const folder = join(shared, 'models', name);
    path = join(
      folder,
      readdirSync(folder).find((file) => file.endsWith('.gguf'))!,
    );
    expected = realScores(name);
    await using opened = await openModel(path);
    rows = await realRows(expected, await opened.source.tokenizer());
  }, 120_000);
  afterAll(() => {
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    engine.dispose();
  });
  const within = async (exact: boolean, run: (model: LoadedModel) => Promise<unknown>): Promise<void> => {
    await using model = await loadModel(await openModel(path, { blocks: exact ? 'float32' : 'integers' }), { engine });
    await run(model);
  };

  it('meets every similarity and drop list with its blocks as floats', async () => {
    await within(true, async (model) => {
      await expectLoss(model, rows, expected, undefined, 1e-3);
      await expectScores(model, rows, expected, 1e-5);
    });
  }, 1_800_000);

  // Activations of 8 bits beside weights of 4; those of the embedding, of 8 bits, have 16 beside it as the head.
  it('meets losses as it is held', async () => {
    await within(false, async (model) => {
      for (const drop of [undefined, ...Object.keys(expected.drop)])
        await expectLoss(model, rows, expected, drop, 2e-2);
    });
  }, 1_800_000);
});
