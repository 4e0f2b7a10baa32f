/** What the command line says of itself, and of what it does not understand. */
import { describe, expect, it } from 'vitest';
import { parseLayerList } from '../../src/cli/layerList.js';
import { version } from '../../src/cli/package.js';
import { llmDrop } from './commandLine.js';

const names = [
  'pull',
  'chat',
  'serve',
  'inspect',
  'score',
  'merge',
  'drop',
  'compensate',
  'quantize',
  'compress',
  'eval',
  'generate',
  'logits',
  'sweep',
  'export',
  'bench',
  'demo',
  'doctor',
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

/** Each option's line in a command's help: `--length` -> `tokens a row, … (default: 2048)`. */
async function optionsOf(name: string): Promise<Map<string, string>> {
  const { stdout } = await llmDrop([name, '--help']);
  const [, listed] = stdout.split('\nOptions:\n');
  const lines = listed.split('\nExamples:')[0].split(/\n(?= {2}-)/);
  return new Map(
    lines.flatMap((line) => {
      const [, flag, meaning] = /^ *(--[\w-]+)(?: <[^>]*>)?\s+(.*)$/s.exec(line) ?? [];
      return flag ? [[flag, meaning.replace(/\s+/g, ' ').trim()] as [string, string]] : [];
    }),
  );
}

describe('commands agree', () => {
  // What `--format` shows, what groups of int4 are made of, and a text and an answer are other things in other commands.
  const others = ['--format', '--group-size', '--max-tokens'];

  it('on the default of an option', async () => {
    const defaults = new Map<string, Set<string>>();
    for (const name of names)
      for (const [flag, meaning] of await optionsOf(name)) {
        const found = /\(default: ([^()]*(?:\([^()]*\))?[^()]*)\)/.exec(meaning)?.[1].replaceAll('"', '');
        if (found !== undefined) defaults.set(flag, (defaults.get(flag) ?? new Set()).add(found));
      }
    for (const flag of ['--samples', '--length', '--held-out', '--compensate', '--metric', '--text'])
      expect([...defaults.keys()]).toContain(flag);
    const several = [...defaults].filter(([, found]) => found.size > 1).map(([flag]) => flag);
    expect(several.sort()).toEqual([...others].sort());
  });

  it.each([
    ['--held-out', ['drop', 'compensate', 'quantize', 'sweep', 'eval'], '--rows'],
    ['--compensate', ['drop', 'compensate'], '--mode'],
    ['--target', ['drop', 'sweep'], '--targets'],
    ['--count', ['drop', 'sweep'], '--counts'],
  ])('on the name %s', async (flag, having, old) => {
    for (const name of names) {
      const flags = [...(await optionsOf(name)).keys()];
      expect([name, flags.includes(flag)]).toEqual([name, having.includes(name)]);
      expect(flags).not.toContain(old);
    }
  });

  it.each([
    ['eval', ['--text', 't.txt'], '--rows'],
    ['sweep', ['--calibration', 't.txt'], '--rows'],
    ['sweep', ['--calibration', 't.txt'], '--counts'],
    ['sweep', ['--calibration', 't.txt'], '--targets'],
    ['compensate', ['--calibration', 't.txt', '--out', 'o'], '--mode'],
  ])('%s %j still takes %s', async (name, needed, old) =>
    expect(await llmDrop([name, 'm', ...needed, old, 'wrong'])).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(new RegExp(`^error: ${old} must be .*found "wrong"`)) as string,
    }),
  );

  it('nothing speaks of an old name', async () => {
    for (const name of names)
      expect((await llmDrop([name, '--help'])).stdout).not.toMatch(/--(rows|mode|targets|counts)\b/);
  });
});

describe('a mistake on the command line is one sentence and exit code 1', () => {
  it.each([
    [['scoer', 'm'], "error: unknown command 'scoer' (did you mean score?)"],
    [['score', 'm', '--sampels', '3'], "error: unknown option '--sampels' (did you mean --samples?)"],
    [['score', 'm', '--calibraton', 't.txt'], "error: unknown option '--calibraton' (did you mean --calibration?)"],
    [['score'], "error: missing required argument 'model'"],
    [
      ['drop', 'm', '--out', 'o', '--target', 'atention'],
      'error: --target must be one of attention, mlp, block, joint, expert, found "atention" (did you mean attention?)',
    ],
    [
      ['sweep', 'm', '--calibration', 't.txt', '--target', 'mlp,blok'],
      'error: --target must be some of attention,mlp,block,joint, found "blok" (did you mean block?)',
    ],
    [
      ['eval', 'm', '--text', 't.txt', '--bos', 'documents'],
      'error: --bos must be one of document, row, alone, found "documents" (did you mean document?)',
    ],
    [
      ['drop', 'm', '--out', 'o', '--keep', 'x'.repeat(9000)],
      `error: --keep: "${'x'.repeat(58)}… is neither a layer nor a range of layers (write 3,5 or 3-5)`,
    ],
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
    [
      ['inspect', 'm', '--backend', 'cuda'],
      'error: --backend must be one of reference, wasm, tfjs, webgpu, tfjs:node-gpu, tfjs:node, tfjs:wasm, tfjs:cpu, found "cuda"',
    ],
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

it('what a message shows of an argument is bounded', async () => {
  const long = 'x'.repeat(100_000);
  const mistakes = [[`--${long}`], [long], ['score', 'm', `--${long}`], ['drop', 'm', '--out', 'o', '--keep', long]];
  for (const argv of [...mistakes, ['inspect', 'm', '--backend', long], ['score', 'm', '--max-memory', long]]) {
    const { code, stderr } = await llmDrop(argv);
    expect([code, stderr.length < 2100]).toEqual([1, true]);
  }
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
