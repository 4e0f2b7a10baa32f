import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeFolders } from '../../../src/checkpoint/index.js';

const root = mkdtempSync(join(tmpdir(), 'llm-drop-folders-'));
afterAll(() => rmSync(root, { recursive: true }));

describe('folders', () => {
  it('are made with those above them, the first of which is told', async () => {
    expect(await makeFolders(join(root, 'a/b/c'))).toBe(join(root, 'a'));
    expect(await makeFolders(join(root, 'a/b/d'))).toBe(join(root, 'a/b/d'));
    expect(await makeFolders(join(root, 'a/b'))).toBeUndefined();
    expect(statSync(join(root, 'a/b/c')).isDirectory()).toBe(true);
  });

  it('are made by several at once', async () => {
    await Promise.all(Array.from({ length: 8 }, (_, i) => makeFolders(join(root, 'e/f/g', String(i % 2)))));
    expect(existsSync(join(root, 'e/f/g/1'))).toBe(true);
  });

  it('are not made below a file', async () => {
    writeFileSync(join(root, 'file'), '');
    await expect(makeFolders(join(root, 'file/h'))).rejects.toThrow(/ENOTDIR/);
    await expect(makeFolders(join(root, 'file'))).rejects.toThrow(/EEXIST/);
  });

  it.runIf(existsSync('/proc/self'))('are not waited for where the file system takes none', async () => {
    await expect(makeFolders('/proc/nothing/i')).rejects.toThrow(/ENOENT/);
  });
});
