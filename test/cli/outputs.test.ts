/** No command writes over what it reads: every one with an output, wherever that leads. */
import { createHash } from 'node:crypto';
import {
  cpSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const root = temporaryFolder();
/** Everything that is read lies in one folder, beside links to it. */
const at = (name: string): string => join(root, 'all', name);
const [model, text, texts] = [at('model'), at('stories.txt'), at('texts')];
const calibration = ['--calibration', text, texts];
const rows = ['--samples', '2', '--length', '16'];

interface Case {
  readonly argv: readonly string[];
  /** What the command reads. */
  readonly reads: readonly string[];
  /** Of the output. @defaultValue 'folder' */
  readonly kind?: 'file' | 'folder' | '.gguf';
}

/** By command; those of one with several kinds of outputs have a second word. */
const cases: Readonly<Record<string, Case>> = {
  score: { argv: [model, ...calibration, ...rows], reads: [model, text, texts], kind: 'file' },
  merge: { argv: [at('part-1.json'), at('part-2.json')], reads: [at('part-1.json'), at('part-2.json')], kind: 'file' },
  drop: {
    argv: [model, '--importance', at('scores.json'), ...calibration, '--target', 'mlp', '--count', '1', '--overwrite'],
    reads: [model, text, texts, at('scores.json')],
  },
  compensate: {
    argv: [model, '--base', at('base'), ...calibration, '--text', at('other.txt'), ...rows, '--overwrite'],
    reads: [model, at('base'), text, texts, at('other.txt')],
  },
  quantize: {
    argv: [model, ...calibration, '--text', at('other.txt'), ...rows, '--overwrite'],
    reads: [model, text, texts, at('other.txt')],
  },
  compress: { argv: [model, '--recipe', at('recipe.json'), '--overwrite'], reads: [model, text, at('recipe.json')] },
  sweep: {
    argv: [model, ...calibration, '--text', at('other.txt'), ...rows],
    reads: [model, text, texts, at('other.txt')],
    kind: 'file',
  },
  eval: {
    argv: [model, '--tasks', 'arc_easy', '--data', at('tasks')],
    reads: [model, at('tasks')],
    kind: 'file',
  },
  logits: { argv: [model, '--tokens', at('tokens.json')], reads: [model, at('tokens.json')], kind: 'file' },
  export: {
    argv: [model, '--to', 'hf', '--importance', at('scores.json'), '--report', at('drop.json'), '--overwrite'],
    reads: [model, at('scores.json'), at('drop.json')],
  },
  'export gguf': {
    argv: [model, '--to', 'gguf', '--importance', at('scores.json'), '--report', at('drop.json'), '--overwrite'],
    reads: [model, at('scores.json'), at('drop.json')],
    kind: '.gguf',
  },
};

beforeAll(async () => {
  await writeModel(model);
  cpSync(model, at('base'), { recursive: true });
  mkdirSync(texts);
  for (const path of [text, join(texts, 'more.txt'), at('other.txt')]) writeFileSync(path, stories);
  for (const name of ['part-1', 'part-2', 'scores', 'drop', 'tokens']) writeFileSync(at(`${name}.json`), '{}');
  writeFileSync(at('tokens.json'), '[[1, 2]]');
  mkdirSync(at('tasks/arc_easy'), { recursive: true });
  writeFileSync(at('tasks/arc_easy/test.jsonl'), JSON.stringify({ query: 'Why?', choices: ['a', 'b'], gold: 0 }));
  const recipe = { calibration: { files: [text] }, drop: { target: 'mlp', count: 1 } };
  writeFileSync(at('recipe.json'), JSON.stringify(recipe));
  mkdirSync(join(root, 'links'));
  // Through which all that is read has a second name.
  symlinkSync('../all', join(root, 'links/all'));
});

/** Every file and link below the folder, by content. */
function contents(path: string): Record<string, string> {
  const names = (readdirSync(path, { recursive: true }) as string[]).sort();
  return Object.fromEntries(
    names.map((name) => {
      const there = lstatSync(join(path, name));
      if (there.isSymbolicLink()) return [name, readlinkSync(join(path, name))];
      if (there.isDirectory()) return [name, ''];
      return [
        name,
        createHash('sha256')
          .update(readFileSync(join(path, name)))
          .digest('hex'),
      ];
    }),
  );
}

let links = 0;
const newLink = (make: (path: string) => void, ending: string): string => {
  const path = join(root, 'links', `${links++}${ending}`);
  make(path);
  return path;
};

/** Outputs that are in the way of an input, by how they are. */
const inTheWay: readonly [how: string, (input: string, ending: string) => string | undefined][] = [
  ['is', (input) => input],
  ['is, spelled in another way', (input) => `${root}/all/../all//${basename(input)}`],
  ['is, in a linked folder', (input) => join(root, 'links/all', basename(input))],
  ['is, by a link', (input, ending) => newLink((path) => symlinkSync(input, path), ending)],
  [
    'is, by another name',
    (input, ending) => (lstatSync(input).isDirectory() ? undefined : newLink((path) => linkSync(input, path), ending)),
  ],
  ['lies in', (input, ending) => (lstatSync(input).isDirectory() ? join(input, `new${ending}`) : undefined)],
  ['lies deep in', (input, ending) => (lstatSync(input).isDirectory() ? join(input, `a/b${ending}`) : undefined)],
  [
    'lies in, by a dangling link',
    (input, ending) =>
      lstatSync(input).isDirectory()
        ? newLink((path) => symlinkSync(join(input, `new${ending}`), path), ending)
        : undefined,
  ],
  ['holds', (_, ending) => (ending === '' ? at('.') : undefined)],
  ['holds, by a link', (_, ending) => (ending === '' ? newLink((path) => symlinkSync(at('.'), path), '') : undefined)],
];

describe('nothing is written where the output of', () => {
  it.each(Object.entries(cases))(
    '%s is in the way of',
    async (name, { argv, reads, kind }) => {
      const ending = kind === '.gguf' ? '.gguf' : '';
      for (const input of reads)
        for (const [how, make] of inTheWay) {
          const out = make(input, ending);
          if (out === undefined || !out.endsWith(ending)) continue;
          const before = contents(root);
          const { code, stdout, stderr } = await llmDrop([name.split(' ')[0], ...argv, '--out', out]);
          const told = `--out ${how} ${input}: ${stderr}`;
          expect({ code, stdout }, told).toEqual({ code: 1, stdout: '' });
          expect(stderr, told).toMatch(
            /^error: .*(which is read|it is read|is a folder, not a file|is a file, expected a folder).*\n$/,
          );
          expect(contents(root), told).toEqual(before);
        }
    },
    60_000,
  );
});

describe('what is written beside an output', () => {
  it.each([
    ['score', 'stories.txt', 'stories.txt'],
    ['drop', 'x', 'x.progress'],
    ['compensate', 'x', 'x.refit.progress'],
    ['quantize', 'x', 'x.quantize.progress'],
    ['compress', 'x', 'x.compress'],
    ['export gguf', 'x.gguf', 'x.md'],
  ])('%s: counts, too', async (name, out, beside) => {
    const link = newLink((path) => mkdirSync(path), '');
    symlinkSync(text, join(link, name === 'score' ? `${beside}.progress` : beside));
    const more = name === 'export gguf' ? ['--importance', text] : [];
    const argv = [name.split(' ')[0], ...cases[name].argv, ...more, '--out', join(link, out)];
    const { code, stderr } = await llmDrop(argv);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('which is read') as string });
    expect(readFileSync(text, 'utf8')).toBe(stories);
  });

  it('as does the state of score', async () => {
    const argv = ['score', ...cases.score.argv, '--out', join(root, 'state.json'), '--state'];
    for (const state of [model, texts, join(model, 'state')])
      expect((await llmDrop([...argv, state])).stderr).toMatch(/score\.progress: it lies in \S+, which is read/);
    expect((await llmDrop([...argv, text])).stderr).toMatch(/stories\.txt is a file, not a folder/);
  });
});

it('has every command that writes to --out in its table', async () => {
  const help = (await llmDrop(['--help'])).stdout;
  const names = [...help.matchAll(/^ {2}([a-z]+)(?= .*(?:<|\[)(?:model|files))/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(10);
  const written: string[] = [];
  for (const name of names)
    if (/--(out|state|html|csv|markdown) </.test((await llmDrop([name, '--help'])).stdout)) written.push(name);
  expect(written.sort()).toEqual([...new Set(Object.keys(cases).map((name) => name.split(' ')[0]))].sort());
});

describe('--overwrite', () => {
  const drop = (out: string): ReturnType<typeof llmDrop> =>
    llmDrop(['drop', model, '--drop-mlp', '1', '--overwrite', '--out', out]);

  it('replaces what llm-drop wrote, as often as one likes', async () => {
    const out = join(root, 'twice');
    for (const i of [1, 2]) expect((await drop(out)).code, String(i)).toBe(0);
    for (const to of ['llm-drop', 'hf', 'vllm'])
      for (const i of [1, 2]) {
        const { code, stderr } = await llmDrop(['export', model, '--to', to, '--overwrite', '--out', out]);
        expect({ code, stderr }, `${to} ${i}`).toEqual({ code: 0, stderr: '' });
      }
  }, 60_000);

  it("keeps a person's files, and names them", async () => {
    const out = join(root, 'mine');
    expect((await drop(out)).code).toBe(0);
    writeFileSync(join(out, 'notes.txt'), 'mine');
    const { code, stderr } = await drop(out);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `error: ${out} holds what is no part of a model: notes.txt, so it is not overwritten (move that away, or choose another folder)\n`,
    });
    expect(readFileSync(join(out, 'notes.txt'), 'utf8')).toBe('mine');
  });
});
