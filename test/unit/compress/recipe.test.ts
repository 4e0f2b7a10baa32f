/** Recipes: their defaults, and in one sentence what is wrong with a bad one. */
import { describe, expect, it } from 'vitest';
import { exampleRecipe, exportName, parseRecipe } from '../../../src/compress/recipe.js';

const calibration = { files: ['c4.jsonl'] };
const all = {
  calibration,
  drop: { target: 'attention', count: 4 },
  compensate: {},
  quantize: {},
  export: [{ to: 'gguf' }],
};

describe('a recipe', () => {
  it('is completed with the defaults of the commands', () =>
    expect(parseRecipe(all)).toEqual({
      schema: 'llm-drop/recipe/1',
      calibration: { files: ['c4.jsonl'], samples: 256, length: 2048, spread: false, field: 'text', heldOut: 16 },
      drop: {
        ...{ target: 'attention', count: 4, metric: 'cosine', search: 'score', iterations: 1 },
        ...{ consecutive: false, compat: null, seed: null, keep: [] },
      },
      compensate: { mode: 'all', alpha: 1 },
      quantize: {
        ...{ method: 'gptq', format: 'compressed-tensors', groupSize: 128, symmetric: true, clip: 'none' },
        ...{ damping: 0.01, expertFloor: 128, head: false },
      },
      export: [{ to: 'gguf', type: null, zero: false }],
      inputs: null,
      versions: null,
    }));

  it.each([
    all,
    { ...all, drop: { target: 'joint', count: 3, search: 'greedy-kl', keep: [0] } },
    { drop: { target: 'mlp', count: 2, metric: 'random', seed: 7 } },
    { calibration, drop: { target: 'expert', count: 2 } },
    { drop: { target: 'expert', count: 2, metric: 'random', seed: 7 } },
    { ...all, drop: { target: 'block', count: 2, consecutive: true, compat: 'llm-drop' } },
    { drop: { attention: [3] } },
    { quantize: { method: 'rtn', format: 'awq' } },
    exampleRecipe(['a.txt'], 12),
  ])('once completed, is complete: %j', (recipe) => {
    const complete = parseRecipe(recipe);
    expect(parseRecipe(JSON.parse(JSON.stringify(complete)))).toEqual(complete);
  });

  it('has zero points for the format awq, which has no other form', () =>
    expect(parseRecipe({ quantize: { method: 'rtn', format: 'awq' } }).quantize!.symmetric).toBe(false));
});

describe('a key of an earlier recipe', () => {
  it('still says what to export', () => {
    const { export: exports } = parseRecipe({ export: [{ format: 'gguf', type: 'q8_0' }] });
    expect(exports).toEqual([{ to: 'gguf', type: 'q8_0', zero: false }]);
  });
  it('is refused beside its new name', () =>
    expect(() => parseRecipe({ export: [{ format: 'hf', to: 'gguf' }] })).toThrow('export[0].format is not known'));
});

it('what a message shows of a recipe is bounded', () => {
  const long = 'x'.repeat(100_000);
  let deep: unknown = 1;
  for (let i = 0; i < 20_000; i++) deep = [deep];
  for (const wrong of [{ [long]: 1 }, { drop: { target: long, count: 1 } }, { drop: { target: deep, count: 1 } }]) {
    const message = ((): string => {
      try {
        return JSON.stringify(parseRecipe(wrong));
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(message).toMatch(/is not known|must be one of/);
    expect(message.length).toBeLessThan(400);
  }
});

it('a mistyped value has its nearest one as a hint', () =>
  expect(() => parseRecipe({ drop: { target: 'atention', count: 1 } })).toThrow('(did you mean attention?)'));

describe('refused by its key and what was expected', () => {
  it.each([
    [
      [],
      'r.json: must be an object with schema, calibration, drop, compensate, quantize, export, inputs, versions, found []',
    ],
    [{}, 'r.json: there is nothing to do (give drop, compensate, quantize or export)'],
    [{ schema: 'x', ...all }, `r.json: schema must be 'llm-drop/recipe/1', found "x"`],
    [
      { ...all, qantize: {} },
      'r.json: qantize is not known (did you mean quantize? the keys there are schema, calibration, drop',
    ],
    [
      { ...all, drop: { target: 'heads', count: 1 } },
      'drop.target must be one of attention, mlp, block, joint, expert, found "heads"',
    ],
    [{ ...all, drop: { target: 'mlp' } }, 'r.json: drop.count must be a whole number of at least 1, found nothing'],
    [{ ...all, drop: { target: 'mlp', count: 1.5 } }, 'drop.count must be a whole number of at least 1, found 1.5'],
    [
      { ...all, drop: { target: 'mlp', count: 1, keep: [0, -1] } },
      'drop.keep[1] must be a whole number of at least 0, found -1',
    ],
    [
      { ...all, drop: { target: 'mlp', count: 2, consecutive: true } },
      'r.json: drop: consecutive chooses a window of whole blocks, so it needs target block, not mlp',
    ],
    [{ ...all, drop: { attention: [1], count: 1 } }, 'drop.count is not known (the keys there are attention, mlp)'],
    [{ ...all, drop: { attention: [] } }, 'drop must be lists that name a layer, found {"attention":[]}'],
    [{ ...all, calibration: undefined }, 'r.json: drop looks at a text, so calibration is needed'],
    [{ drop: { attention: [1] }, compensate: {} }, 'r.json: compensate looks at a text, so calibration is needed'],
    [{ quantize: {} }, 'r.json: quantize by gptq looks at a text, so calibration is needed'],
    [{ ...all, calibration: { files: [] } }, 'calibration.files must be a list of at least 1, found []'],
    [{ ...all, calibration: { files: 'a.txt' } }, 'calibration.files must be a list of at least 1, found "a.txt"'],
    [{ ...all, calibration: { files: [''] } }, 'calibration.files[0] must be a text, found ""'],
    [
      { ...all, calibration: { ...calibration, length: 1 } },
      'calibration.length must be a whole number of at least 2, found 1',
    ],
    [{ ...all, drop: null }, 'compensate gives back what drop takes, so it needs drop'],
    [{ ...all, compensate: { alpha: -1 } }, 'compensate.alpha must be a number of at least 0, found -1'],
    [{ ...all, compensate: { mode: 'some' } }, 'compensate.mode must be one of'],
    [{ ...all, quantize: { groupSize: 48 } }, 'quantize.groupSize must be one of 32, 64, 128, -1, found 48'],
    [{ ...all, quantize: { groupSize: '64' } }, 'quantize.groupSize must be one of 32, 64, 128, -1, found "64"'],
    [{ ...all, quantize: { damping: 1 } }, 'quantize.damping must be a number between 0 and 1, found 1'],
    [{ ...all, quantize: { head: 'yes' } }, 'quantize.head must be true or false, found "yes"'],
    [{ ...all, quantize: { format: 'awq', symmetric: true } }, 'quantize.symmetric must be false for the format awq'],
    [{ ...all, quantize: { method: 'awq', clip: 'search' } }, `quantize.clip must be 'none' for awq`],
    [{ ...all, export: { to: 'gguf' } }, 'export must be a list, found {"to":"gguf"}'],
    [{ ...all, export: [{ to: 'onnx' }] }, 'export[0].to must be one of llm-drop, hf, gguf, vllm, found "onnx"'],
    [
      { ...all, export: [{ to: 'vllm', type: 'q4_0' }] },
      'export[0].type must be one of f32, f16, bf16 for vllm, found "q4_0"',
    ],
    [{ ...all, export: [{ to: 'llm-drop', zero: true }] }, 'export[0].zero must be false for llm-drop'],
    [{ ...all, export: [{ to: 'gguf' }, { to: 'gguf', type: null }] }, 'export[1] is the same as export[0]'],
    [{ ...all, export: [{ to: 'hf' }] }, 'export[0]: a plain hf checkpoint cannot leave out an attention alone'],
    [
      { ...all, inputs: { model: { name: 'm', configuration: 'x', weights: 'x' }, calibration: [] } },
      'inputs.model.configuration must be 64 hexadecimal digits, found "x"',
    ],
  ])('%j', (recipe, sentence) => {
    expect(() => parseRecipe(recipe, 'r.json')).toThrow(expect.objectContaining({ name: 'UserError' }));
    expect(() => parseRecipe(recipe, 'r.json')).toThrow(sentence);
  });
});

it('exports are told apart by their names', () => {
  expect(exportName('m', { to: 'gguf', type: 'q4_0', zero: false })).toBe('m-q4_0.gguf');
  expect(exportName('m', { to: 'gguf', type: null, zero: false })).toBe('m.gguf');
  expect(exportName('m', { to: 'hf', type: 'bf16', zero: true })).toBe('hf-zero-bf16');
});
