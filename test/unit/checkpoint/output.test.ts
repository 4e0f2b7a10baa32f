/** What is written: where it leads, what is in its way, and who else writes there. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  checkOutputs,
  claimOutputs,
  writeFileAtomically,
  writeFolderAtomically,
  type Output,
} from '../../../src/checkpoint/index.js';
import { temporaryFolder } from './places.js';

const root = temporaryFolder();
const file = (path: string, overwrite: Output['overwrite'] = true): Output => ({ path, kind: 'file', overwrite });
const folder = (path: string, overwrite = true): Output => ({ path, kind: 'folder', overwrite });

/** A model whose weights lie elsewhere, a text with two names, and links. */
function tree(): (name: string) => string {
  const base = mkdtempSync(join(root, 'tree-'));
  const at = (name: string): string => `${base}/${name}`; // not joined: `..` stays
  for (const name of ['models/m', 'blobs', 'texts']) mkdirSync(at(name), { recursive: true });
  for (const name of ['models/m/config.json', 'blobs/w', 'texts/a.txt']) writeFileSync(at(name), '{}');
  symlinkSync('../../blobs/w', at('models/m/model.safetensors'));
  linkSync(at('texts/a.txt'), at('texts/same.txt'));
  symlinkSync('texts/a.txt', at('text'));
  symlinkSync('models/m', at('model'));
  symlinkSync('models/m/new', at('dangling'));
  symlinkSync('dangling', at('dangling-twice'));
  return at;
}

describe('an output is refused that', () => {
  it.each<[string, (path: string) => Output, string, string, RegExp]>([
    ['is the input', file, 'texts/a.txt', 'texts/a.txt', /cannot write \S+a\.txt: it is read/],
    ['is the input spelled in another way', file, 'texts/../texts//a.txt', 'texts/a.txt', /: it is \S+, which is read/],
    ['is a link to it', file, 'text', 'texts/a.txt', /: it is \S+, which is read/],
    ['is what it is a link to', file, 'texts/a.txt', 'text', /: it is \S+, which is read/],
    ['is another name of it', file, 'texts/same.txt', 'texts/a.txt', /: it is \S+, which is read/],
    ['is another name of a file in it', file, 'texts/same.txt', 'texts', /: it lies in|: it is/],
    ['is a folder that is read', folder, 'models/m', 'models/m', /: it is read/],
    ['is one through a link', folder, 'model', 'models/m', /: it is \S+, which is read/],
    ['goes up behind a link', file, 'model/../m/new.json', 'models/m', /: it lies in \S+, which is read/],
    ['lies in it', file, 'models/m/new.json', 'models/m', /: it lies in/],
    ['lies deep in it', folder, 'models/m/a/b', 'models/m', /: it lies in/],
    ['is a dangling link into it', folder, 'dangling', 'models/m', /: it lies in/],
    ['is a link to a dangling link into it', file, 'dangling-twice', 'model', /: it lies in/],
    ['holds it', folder, 'models', 'models/m', /: it holds/],
    ['holds what it links to', folder, 'blobs', 'models/m', /: it holds \S+model\.safetensors, which is read/],
    ['is what it links to', file, 'blobs/w', 'model', /: it is \S+model\.safetensors, which is read/],
    ['has progress on it', (path) => ({ ...file('x'), beside: [path] }), 'text', 'texts/a.txt', /: it is/],
  ])('%s', async (_, kind, out, input, says) => {
    const at = tree();
    const { beside, ...output } = kind(at(out));
    const writes = [beside ? { ...output, path: at('x'), beside } : output];
    await expect(checkOutputs({ reads: [at(input)], writes })).rejects.toThrow(says);
    await expect(checkOutputs({ reads: [relative(process.cwd(), at(input))], writes })).rejects.toThrow(/is read/);
    await expect(claimOutputs({ reads: [undefined, at(input)], writes })).rejects.toThrow(says);
    expect(readdirSync(at('models/m')).length).toBe(2);
  });

  it('is another output, or lies in one', async () => {
    const at = tree();
    const both = (a: Output, b: Output) => checkOutputs({ reads: [], writes: [a, b] });
    await expect(both(file(at('a')), file(at('a')))).rejects.toThrow(/cannot write both: \S+a is \S+a/);
    await expect(both(file(at('text')), file(at('texts/same.txt')))).rejects.toThrow('cannot write both');
    // Which are one file where case does not count.
    await expect(both(file(at('New')), file(at('new')))).rejects.toThrow('cannot write both');
    await expect(both(folder(at('new')), file(at('new/a')))).rejects.toThrow('cannot write both');
    await both(file(at('new-1')), file(at('new-2')));
  });
});

it('lets an output lie anywhere else', async () => {
  const at = tree();
  const reads = [at('models/m'), at('texts/a.txt'), at('not-there')];
  const writes = [file(at('texts/b.txt')), folder(at('models/n')), file(at('m')), file('/dev/null')];
  await checkOutputs({ reads, writes });
  // A terminal, say, is no file to lose.
  await checkOutputs({ reads: ['/dev/null'], writes: [file('/dev/null')] });
});

describe('a path that leads nowhere is told as it is', () => {
  it.each<[string, (at: (name: string) => string) => void, string, RegExp]>([
    ['through a file', () => undefined, 'texts/a.txt/out', /cannot write \S+out: \S+a\.txt is a file, not a folder$/],
    ['through a file, deeper', () => undefined, 'text/a/b', /cannot write \S+b: \S+text is a file, not a folder$/],
    ['a file with a slash behind it', () => undefined, 'text/', /cannot write \S+text\/: \S+ is a file, not a folder$/],
    ['a loop', (at) => symlinkSync('loop', at('loop')), 'loop', /its symbolic links form a loop$/],
    ['without a folder', () => undefined, 'no/out', /cannot write \S+out in \S+no: it does not exist$/],
    ['a link without one', (at) => symlinkSync('no/x', at('l')), 'l', /cannot write \S+l in \S+no: it does not exist$/],
  ])('%s', async (_, make, out, says) => {
    const at = tree();
    make(at);
    await expect(checkOutputs({ reads: [], writes: [file(at(out))] })).rejects.toThrow(says);
    await expect(writeFileAtomically(at(out), (to) => to.writeFile('x'))).rejects.toThrow(says);
  });

  it('by no name', async () => expect(checkOutputs({ reads: [], writes: [file('')] })).rejects.toThrow('is empty'));
});

describe('links are followed', () => {
  const write = {
    file: (path: string) => writeFileAtomically(path, (to) => to.writeFile('new')),
    folder: (path: string) =>
      writeFolderAtomically(path, async (to) => writeFileSync(join(to, 'config.json'), 'new'), { overwrite: true }),
  };
  const written = (kind: 'file' | 'folder', path: string): string =>
    readFileSync(kind === 'file' ? path : join(path, 'config.json'), 'utf8');

  it.each(['file', 'folder'] as const)('of a %s: to what is there, and to what is not', async (kind) => {
    const at = tree();
    await write[kind](at('there'));
    symlinkSync('there', at('one'));
    symlinkSync('one', at('two'));
    symlinkSync('later', at('hanging'));
    for (const [link, target] of [
      ['two', 'there'],
      ['hanging', 'later'],
    ]) {
      await write[kind](at(link));
      expect(lstatSync(at(link)).isSymbolicLink()).toBe(true);
      expect(lstatSync(at(target)).isSymbolicLink()).toBe(false);
      expect(written(kind, at(target))).toBe('new');
    }
    expect(readdirSync(at('.')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each([
    ['file', 'model', /cannot write \S+model: it is a folder, not a file/],
    ['folder', 'text', /text is a file, expected a folder to write to/],
  ] as const)('a %s does not take the place of another kind', async (kind, link, says) => {
    const at = tree();
    await expect(write[kind](at(link))).rejects.toThrow(says);
    await expect(checkOutputs({ reads: [], writes: [{ path: at(link), kind, overwrite: true }] })).rejects.toThrow(
      says,
    );
  });
});

describe('a folder is replaced', () => {
  const model = (...others: string[]): string => {
    const path = mkdtempSync(join(root, 'model-'));
    for (const name of ['config.json', ...others]) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), '');
    }
    return path;
  };
  const replace = (path: string) => checkOutputs({ reads: [], writes: [folder(path)] });

  it('if it holds what a model consists of', async () => {
    const path = model(
      ...['model-00001-of-00002.safetensors', 'model.safetensors.index.json', 'tokenizer.json', 'merges.txt'],
      ...['additional_chat_templates/a.jinja', 'configuration_nemotron_nas.py', 'drop_report.json', 'recipe.json'],
      ...['exports/a.gguf', 'exports/hf/config.json', 'exports/hf/model.safetensors'],
    );
    writeFileSync(join(path, 'README.md'), 'Made with [llm-drop](https://…)');
    await replace(path);
  });

  it.each([
    [['notes.txt'], 'notes.txt'],
    [['README.md'], 'README.md'],
    [['train.py', 'adapter.safetensors'], 'adapter.safetensors, train.py'],
    [['data/a.csv', '.git/HEAD'], '.git, data'],
    [['exports/hf/thesis.tex', 'exports/notes.md'], 'exports/hf/thesis.tex, exports/notes.md'],
    [['a', 'b', 'c', 'd', 'e', 'f', 'g'], 'a, b, c, d, e, 2 more'],
  ])('but not with %j in it', async (others, named) => {
    const path = model(...others);
    await expect(replace(path)).rejects.toThrow(
      `${path} holds what is no part of a model: ${named}, so it is not overwritten`,
    );
    await expect(writeFolderAtomically(path, () => Promise.resolve(), { overwrite: true })).rejects.toThrow(named);
    for (const name of others) expect(existsSync(join(path, name))).toBe(true);
  });

  it('as a card is: if llm-drop has written it', async () => {
    const path = join(model(), 'a.md');
    const check = () => checkOutputs({ reads: [], writes: [file(path, 'own card')] });
    await check();
    writeFileSync(path, 'Made with [llm-drop](https://…)');
    await check();
    writeFileSync(path, 'my notes');
    await expect(check()).rejects.toThrow('a.md is no model card of llm-drop, so it is not overwritten');
  });
});

describe('a lock', () => {
  const claim = (path: string) => claimOutputs({ reads: [], writes: [folder(path)] });
  const fresh = (): { out: string; lock: string } => {
    const parent = mkdtempSync(join(root, 'lock-'));
    return { out: join(parent, 'out'), lock: join(parent, '.out.lock') };
  };
  const holder = { pid: process.ppid, host: hostname(), since: new Date().toISOString(), command: 'llm-drop score' };
  const dead = (): number => spawnSync(process.execPath, ['-e', '']).pid;

  it('names who writes, and goes', async () => {
    const { out, lock } = fresh();
    {
      await using _first = await claim(out);
      expect(JSON.parse(readFileSync(lock, 'utf8'))).toMatchObject({ pid: process.pid, host: hostname() });
      await expect(claim(out)).rejects.toThrow(`${out} is being written by process ${process.pid} on ${hostname()}`);
      symlinkSync('out', `${out}-link`);
      await expect(claim(`${out}-link`)).rejects.toThrow('is being written by process');
    }
    expect(existsSync(lock)).toBe(false);
    await using _again = await claim(out);
  });

  it('says of a run elsewhere where, since when, and what to do if it is gone', async () => {
    const { out, lock } = fresh();
    writeFileSync(lock, JSON.stringify({ ...holder, pid: dead(), host: 'another' }));
    await expect(claim(out)).rejects.toThrow(
      new RegExp(`on another since ${holder.since} \\(llm-drop score\\) \\(wait .*, remove ${lock}\\)$`),
    );
    expect(existsSync(lock)).toBe(true);
  });

  it.each<[string, () => string]>([
    ['a process that is gone', () => JSON.stringify({ ...holder, pid: dead() })],
    ['a machine that has been silent for minutes', () => JSON.stringify({ ...holder, host: 'another' })],
    [
      'a process before the machine was started',
      () => JSON.stringify({ ...holder, since: '2000-01-01T00:00:00.000Z' }),
    ],
    [
      'an earlier process of the same number',
      () => JSON.stringify({ ...holder, pid: process.pid, since: '2000-01-01T00:00:00.000Z' }),
    ],
    ['a process that was killed while it wrote it', () => '{"pid":'],
  ])('of %s is taken over', async (_, text) => {
    const { out, lock } = fresh();
    writeFileSync(lock, text());
    utimesSync(lock, 1, 1);
    {
      await using _claim = await claim(out);
      expect(JSON.parse(readFileSync(lock, 'utf8'))).toMatchObject({ pid: process.pid });
    }
    expect(readdirSync(dirname(out))).toEqual([]);
  });

  it('is taken over by one of those that find it stale', async () => {
    const { out, lock } = fresh();
    writeFileSync(lock, JSON.stringify({ ...holder, pid: dead() }));
    const claims = await Promise.allSettled(Array.from({ length: 20 }, () => claim(out)));
    expect(claims.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    for (const result of claims) if (result.status === 'fulfilled') await result.value[Symbol.asyncDispose]();
    expect(readdirSync(dirname(out))).toEqual([]);
  });

  it('leaves no folder that was made for it alone', async () => {
    const { out } = fresh();
    {
      await using _claim = await claim(join(out, 'a/b'));
      expect(existsSync(join(out, 'a'))).toBe(true);
    }
    expect(existsSync(out)).toBe(false);
    {
      await using _claim = await claim(join(out, 'a/b'));
      mkdirSync(join(out, 'a/b'));
    }
    expect(existsSync(join(out, 'a/b'))).toBe(true);
  });

  it('of one output goes where another is taken', async () => {
    const { out, lock } = fresh();
    await using _other = await claim(`${out}-2`);
    const both = claimOutputs({ reads: [], writes: [folder(out), folder(`${out}-2`)] });
    await expect(both).rejects.toThrow('out-2 is being written');
    expect(existsSync(lock)).toBe(false);
  });
});
