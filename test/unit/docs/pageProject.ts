import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export const root = fileURLToPath(new URL('../../..', import.meta.url));

interface Piece {
  readonly file: string;
  /** The list or table of the file that it goes into; the whole file without one. */
  readonly into?: string;
  readonly code: string;
}

/** A copy of the source with the code of a page's blocks, each where its block says. To be disposed. */
export interface PageProject extends Disposable {
  readonly folder: string;
  /** Names of the files that the page changes. */
  readonly applied: readonly string[];
}

export function pageProject(page: string): PageProject {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-page-'));
  cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true });
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const pieces = piecesOf(readFileSync(join(root, page), 'utf8'));
  for (const piece of pieces) apply(folder, piece);
  return {
    folder,
    applied: pieces.map(({ file }) => file.split('/').at(-1)!),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

const piecesOf = (page: string): Piece[] =>
  [...page.matchAll(/^```ts file=(\S+)(?: add-to=(\S+))?\n([\s\S]*?)^```$/gm)].map(([, file, into, code]) => ({
    file,
    into,
    code,
  }));

function apply(folder: string, { file, into, code }: Piece): void {
  const path = join(folder, file);
  if (into === undefined) return writeFileSync(path, code);
  const before = readFileSync(path, 'utf8');
  const imported = /^import \{ (\w+) \}/.exec(code);
  const head = imported ? `${code}${before}` : before;
  const entry = imported ? `${imported[1]},` : code;
  const list = new RegExp(`^export const ${into}: .* = [[{]$`, 'm');
  expect(head, `${file} has ${into}`).toMatch(list);
  writeFileSync(
    path,
    head.replace(list, (line) => `${line}\n${entry}`),
  );
}
