/** What the command line says of itself, and of what it does not understand. */
import { describe, expect, it } from 'vitest';
import { parseLayerList } from '../../src/cli/layerList.js';
import { version } from '../../src/cli/package.js';
import { llmDrop } from './commandLine.js';

const names = [
  'inspect',
  'score',
  'drop',
  'compress',
  'eval',
  'generate',
  'logits',
  'sweep',
  'export',
  'bench',
  'demo',
];

describe('help', () => {
  it('lists every command', async () => {
    const { code, stdout } = await llmDrop(['--help']);
    expect(code).toBe(0);
    for (const name of names) expect(stdout).toMatch(new RegExp(`^ +${name} `, 'm'));
  });

  it.each(names)('%s --help has examples and the common options', async (name) => {
    const { code, stdout, stderr } = await llmDrop([name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Examples:`);
    expect(stdout).toContain(`  llm-drop ${name}`);
    for (const option of ['--backend', '--threads', '--json', '--verbose']) expect(stdout).toContain(option);
  });

  it('--version is the version of the package', async () =>
    expect(await llmDrop(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' }));
});

describe('a mistake on the command line is one sentence and exit code 1', () => {
  it.each([
    [['scoer', 'm'], "error: unknown command 'scoer' (did you mean score?)"],
    [['score', 'm', '--sampels', '3'], "error: unknown option '--sampels' (did you mean --samples?)"],
    [['score'], "error: missing required argument 'model'"],
    [['score', 'm'], 'error: score needs --calibration <file> (llm-drop score --help shows examples)'],
    [
      ['eval', 'm', '--text', 't.txt', '--held-out', 'many'],
      'error: --held-out must be a whole number of at least 1, found "many"',
    ],
    [
      ['eval', 'm', '--text', 't.txt', '--held-out', '0'],
      'error: --held-out must be a whole number of at least 1, found "0"',
    ],
    [['generate', 'm', '--prompt', 'x', '--temperature', 'hot'], 'error: --temperature must be a number, found "hot"'],
    [['inspect', 'm', '--backend', 'cuda'], 'error: --backend must be one of reference, wasm, tfjs, found "cuda"'],
    [
      ['eval', 'm', '--text', 't.txt', '--drop-attn', '3;5'],
      'error: --drop-attn: "3;5" is neither a layer nor a range of layers (write 3,5 or 3-5)',
    ],
    [
      ['eval', 'm', '--text', 't.txt', '--drop-mlp', '5-3'],
      'error: --drop-mlp: "5-3" is neither a layer nor a range of layers (write 3,5 or 3-5)',
    ],
    [
      ['drop', 'm', '--out', 'o'],
      'error: what to drop is not said (give --target and --count, or --drop-attn or --drop-mlp)',
    ],
    [
      ['drop', 'm', '--out', 'o', '--target', 'mlp', '--count', '1'],
      'error: choosing what to drop needs scores (give --calibration with a text, or --importance with the scores from llm-drop score --out)',
    ],
    [
      ['drop', 'm', '--out', 'o', '--drop-attn', '1', '--target', 'mlp'],
      'error: --drop-attn and --drop-mlp say what to drop, so --target, --count, --importance and --keep do not go with them',
    ],
  ])('%j', async (argv, sentence) =>
    expect(await llmDrop(argv)).toEqual({ code: 1, stdout: '', stderr: `${sentence}\n` }),
  );
});

describe('a list of layers', () => {
  it.each([
    ['3', [3]],
    ['3,5', [3, 5]],
    ['3-5', [3, 4, 5]],
    ['0, 7-8 ,2', [0, 7, 8, 2]],
    ['', []],
  ])('%j', (list, layers) => expect(parseLayerList(list, '--keep')).toEqual(layers));

  it.each(['a', '1,', '-1', '1.5', '2-1', '1--2', '0-99999999999'])('%j is refused by the name of its option', (list) =>
    expect(() => parseLayerList(list, '--keep')).toThrow('--keep: '),
  );
});
