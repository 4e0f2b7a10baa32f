/**
 * SmolLM2-135M (30 layers) on the `wasm` backend against transformers in float32: scores, drop lists and losses on 16
 * rows of 512 tokens. Needs a Hugging Face folder made of ../shared's GGUF, named by SMOLLM2:
 *   python ../shared/tools/hf_from_gguf.py ../shared/models/SmolLM2-135M-Instruct/*.gguf DIR float32
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { loadModel, type LoadedModel } from '../../src/models/index.js';
import { withoutShared } from '../support/oracleCases.js';
import { expectLoss, expectScores, realRows, realScores, type RealScores } from '../support/realScores.js';

const name = 'SmolLM2-135M-Instruct';
const folder = process.env.SMOLLM2;
if (!folder) console.warn('skipped: name the folder of SmolLM2-135M-Instruct in SMOLLM2');

describe.skipIf(!folder || withoutShared(name))(name, () => {
  let engine: Engine, model: LoadedModel, expected: RealScores, rows: Int32Array[];
  beforeAll(async () => {
    engine = await createEngine('wasm');
    expected = realScores(name);
    model = await loadModel(folder!, { engine });
    rows = await realRows(expected, await model.source.tokenizer());
  }, 120_000);
  afterAll(async () => {
    await model.close();
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    engine.dispose();
  });

  it(
    'meets every similarity and drop list',
    async () => void (await expectScores(model, rows, expected, 1e-5)),
    1_800_000,
  );

  const lists = withoutShared(name) ? [] : ['', ...Object.keys(realScores(name).drop)];
  const drops = lists.map((list): [string, string?] => (list ? [list, list] : ['the whole model']));
  it.each(drops)('meets the loss of %s', (_, drop) => expectLoss(model, rows, expected, drop, 1e-3), 900_000);
});
