import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeFolderAtomically } from '../../../src/checkpoint/index.js';
import { UserError } from '../../../src/engine/index.js';
import { temporaryFolder } from './places.js';

const root = temporaryFolder();
const newParent = (): string => mkdtempSync(join(root, 'parent-'));
const fill =
  (text: string) =>
  async (folder: string): Promise<string> => {
    await writeFile(join(folder, 'config.json'), text);
    return text;
  };
const deadProcess = (): number => spawnSync(process.execPath, ['-e', '']).pid;

describe('writing a folder', () => {
  it('shows the folder only when it is complete', async () => {
    const parent = newParent();
    const target = join(parent, 'deep', 'out');
    const result = await writeFolderAtomically(target, async (folder) => {
      expect(existsSync(target)).toBe(false);
      mkdirSync(join(folder, 'below'));
      return fill('new')(folder);
    });
    expect(result).toBe('new');
    expect(readdirSync(target).sort()).toEqual(['below', 'config.json']);
    expect(readdirSync(join(parent, 'deep'))).toEqual(['out']);
  });

  it('leaves nothing behind when it fails', async () => {
    const parent = newParent();
    const fail = async (folder: string): Promise<never> => {
      await fill('new')(folder);
      throw new Error('broken');
    };
    await expect(writeFolderAtomically(join(parent, 'out'), fail)).rejects.toThrow('broken');
    expect(readdirSync(parent)).toEqual([]);
  });

  it('takes an empty folder, refuses a full one, and replaces a model folder when asked', async () => {
    const target = join(newParent(), 'out');
    mkdirSync(target);
    await writeFolderAtomically(target, fill('first'));
    writeFileSync(join(target, 'model.safetensors'), '');
    await expect(writeFolderAtomically(target, fill('second'))).rejects.toThrow(
      `${target} exists and is not empty (choose another folder, or give \`overwrite\`)`,
    );
    await expect(
      writeFolderAtomically(target, async () => Promise.reject(new Error('broken')), { overwrite: true }),
    ).rejects.toThrow('broken');
    expect(readFileSync(join(target, 'config.json'), 'utf8')).toBe('first');
    await writeFolderAtomically(target, fill('second'), { overwrite: true });
    expect(readdirSync(target)).toEqual(['config.json']);
    expect(readFileSync(join(target, 'config.json'), 'utf8')).toBe('second');
    expect(readdirSync(join(target, '..'))).toEqual(['out']);
  });

  it('never overwrites a folder that is no model, a file, or the working folder', async () => {
    const parent = newParent();
    const documents = join(parent, 'documents');
    mkdirSync(documents);
    writeFileSync(join(documents, 'letter.txt'), '');
    await expect(writeFolderAtomically(documents, fill('x'), { overwrite: true })).rejects.toThrow(
      'is not a model folder (it has no config.json)',
    );
    await expect(writeFolderAtomically(join(documents, 'letter.txt'), fill('x'), { overwrite: true })).rejects.toThrow(
      'is a file, expected a folder to write to',
    );
    await expect(writeFolderAtomically(join(documents, 'letter.txt', 'out'), fill('x'))).rejects.toThrow(UserError);
    await expect(writeFolderAtomically('.', fill('x'), { overwrite: true })).rejects.toThrow(
      '. cannot be replaced as a whole (name a folder below it)',
    );
    expect(readdirSync(parent)).toEqual(['documents']);
  });

  it('replaces the folder behind a symbolic link', async () => {
    const parent = newParent();
    mkdirSync(join(parent, 'real'));
    symlinkSync(join(parent, 'real'), join(parent, 'link'));
    await writeFolderAtomically(join(parent, 'link'), fill('new'));
    expect(readdirSync(join(parent, 'real'))).toEqual(['config.json']);
  });

  it('removes what killed runs left, and only that', async () => {
    const parent = newParent();
    const [dead, alive] = [deadProcess(), process.ppid];
    const others = [
      `.out.partial-${alive}-abc`,
      `.other.partial-${dead}-abc`,
      `.out.partial-notes`,
      `out.partial-${dead}-abc`,
    ];
    for (const name of [
      `.out.partial-${dead}-abc`,
      `.out.replaced-${dead}-abc`,
      `.out.partial-${process.pid}-abc`,
      ...others,
    ])
      mkdirSync(join(parent, name));
    mkdirSync(join(parent, 'out'));
    await writeFolderAtomically(join(parent, 'out'), fill('new'));
    expect(readdirSync(parent).sort()).toEqual(['out', ...others].sort());
  });

  it('puts back the old folder of a run that was killed in the exchange', async () => {
    const parent = newParent();
    const old = join(parent, `.out.replaced-${deadProcess()}-abc`);
    mkdirSync(old);
    writeFileSync(join(old, 'config.json'), 'old');
    await expect(writeFolderAtomically(join(parent, 'out'), fill('new'))).rejects.toThrow('exists and is not empty');
    expect(readFileSync(join(parent, 'out', 'config.json'), 'utf8')).toBe('old');
  });

  it('lets two writers of one target run at once: one of them wins', async () => {
    const target = join(newParent(), 'out');
    const results = await Promise.allSettled([
      writeFolderAtomically(target, fill('a')),
      writeFolderAtomically(target, fill('b')),
    ]);
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0);
    expect(results.every((result) => result.status === 'fulfilled' || result.reason instanceof UserError)).toBe(true);
    expect(readdirSync(join(target, '..'))).toEqual(['out']);
  });

  it.skipIf(!existsSync('/dev/full'))('says so when the disk is full', async () => {
    const parent = newParent();
    const target = join(parent, 'out');
    const error = await writeFolderAtomically(target, () => writeFile('/dev/full', 'x')).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toBe(
      `cannot write ${target}: the disk is full (free some space or choose another place)`,
    );
    expect(readdirSync(parent)).toEqual([]);
  });

  it('names the target in an error, not the hidden folder', async () => {
    const target = join(newParent(), 'out');
    const write = (folder: string): Promise<never> => Promise.reject(new UserError(`cannot write ${folder}/a: no`));
    await expect(writeFolderAtomically(target, write)).rejects.toThrow(`cannot write ${target}/a: no`);
  });
});
