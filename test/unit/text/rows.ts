import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();

/** A token is a letter's code; EOS is 0. */
export const letters = {
  encode: (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0)),
  eosId: 0,
};

/** A file of one document, whose rows of two tokens are 'aA', 'bB', ... from a letter on; the last has EOS alone. */
export function fileOfRows(count: number, from = 'a'): string {
  const path = join(mkdtempSync(join(root, 'rows-')), 'text.jsonl');
  const text = Array.from({ length: count }, (_, i) => String.fromCharCode(from.charCodeAt(0) + i)).map(
    (letter) => letter + letter.toUpperCase(),
  );
  writeFileSync(path, JSON.stringify({ text: text.join('') }));
  return path;
}

/** The first letter of each row. */
export const shown = (rows: readonly Int32Array[]): string =>
  rows.map(([first]) => String.fromCharCode(first)).join('');
