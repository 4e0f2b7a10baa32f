/**
 * Gemma 3 270M as the GGUF file that people have (Q4_K_M: Q5_0, Q8_0, Q4_K, Q6_K), on the `wasm` backend, against transformers
 * in float32 on the dequantized weights. Needs the file, named by GEMMA3: ../shared/tools/gemma3_270m.sh DIR
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { scoreImportance, selectDrops, type Target } from '../../src/drop/index.js';
import { generate, loadModel, openModel, type LoadedModel } from '../../src/models/index.js';
import { shared, withoutShared } from '../support/oracleCases.js';
import { expectLoss, realRows, type RealScores } from '../support/realScores.js';

const path = process.env.GEMMA3;
if (!path) console.warn('skipped: name the file of Gemma 3 270M in GEMMA3');

interface Gemma extends RealScores {
  readonly tokens: readonly { readonly text: string; readonly ids: number[] }[];
  readonly special_tokens: { readonly text: string; readonly ids: number[] };
  readonly greedy: readonly { readonly prompt: string; readonly input_ids: number[]; readonly ids: number[] }[];
}

describe.skipIf(!path || withoutShared('gemma3-270m'))('Gemma 3 270M, its GGUF file', () => {
  let engine: Engine, expected: Gemma, rows: Int32Array[];
  beforeAll(async () => {
    engine = await createEngine('wasm');
    expected = JSON.parse(readFileSync(join(shared, 'oracle/gemma3-270m.json'), 'utf8')) as Gemma;
    await using opened = await openModel(path!);
    rows = await realRows(expected, await opened.source.tokenizer());
  }, 120_000);
  afterAll(() => {
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    engine.dispose();
  });
  const within = async (exact: boolean, run: (model: LoadedModel) => Promise<unknown>): Promise<void> => {
    await using model = await loadModel(await openModel(path!, { blocks: exact ? 'float32' : 'integers' }), { engine });
    await run(model);
  };

  it('cuts texts into the tokens of the original tokenizer', async () => {
    await using opened = await openModel(path!);
    const tokenizer = await opened.source.tokenizer();
    for (const { text, ids } of [...expected.tokens, expected.special_tokens]) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
    }
    for (const { prompt, input_ids: ids } of expected.greedy)
      expect(tokenizer.encode(prompt, { addSpecialTokens: true })).toEqual(ids);
  });

  it('meets similarities, drop lists, losses and greedy texts with its blocks as floats', async () => {
    await within(true, async (model) => {
      for (const { input_ids: ids, ids: wanted } of expected.greedy) {
        const { tokens } = await generate(model, ids, { maxTokens: wanted.length });
        expect(tokens).toEqual(wanted);
      }
      await expectLoss(model, rows, expected, undefined, 1e-3);
      const importance = await scoreImportance(model, rows, { gaps: [1] });
      const found = { attn: importance.similarity.attention, mlp: importance.similarity.mlp };
      for (const [kind, values] of Object.entries(found))
        for (const [layer, value] of values.entries())
          expect(Math.abs(value! - expected.similarities[kind as 'attn' | 'mlp'][layer])).toBeLessThan(1e-4);
      const targets: Record<string, Target> = { attn: 'attention', mlp: 'mlp', block: 'block' };
      for (const [name, { index }] of Object.entries(expected.drop)) {
        const [kind, count] = name.split('-');
        const drops = selectDrops(importance, targets[kind], Number(count));
        expect(kind === 'attn' ? drops.attention : drops.mlp, name).toEqual(index);
      }
      for (const name of ['attn-2', 'block-2']) await expectLoss(model, rows, expected, name, 1e-3);
    });
  }, 1_800_000);

  // Activations of 8 bits beside weights of 4, and 8 bits of mantissa elsewhere.
  it('meets its loss as it is held', async () => {
    await within(false, (model) => expectLoss(model, rows, expected, undefined, 3e-2));
  }, 1_800_000);
});
