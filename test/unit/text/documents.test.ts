import * as fc from 'fast-check';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentSeparator, readDocuments } from '../../../src/text/documents.js';
import { UserError } from '../../../src/engine/index.js';
import { temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();
function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(mkdtempSync(join(root, 'text-')), name);
  writeFileSync(path, content);
  return path;
}
const documents = async (path: string, field?: string): Promise<string[]> => {
  const all = [];
  for await (const document of readDocuments(path, { field })) all.push(document);
  return all;
};

describe('documents', () => {
  it('of a .txt file lie between separators, stripped, empty ones left out', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('<|endof', '\n', '<|endoftext|', ''))),
        async (parts) => {
          const text = parts.join(documentSeparator);
          const expected = text.split(documentSeparator).map((part) => part.trim());
          expect(await documents(fileOf('a.txt', text))).toEqual(expected.filter((part) => part));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('may be longer than what is read at once, with a separator anywhere', async () => {
    for (const before of [(1 << 18) - 12, (1 << 18) - 5, (1 << 18) - 1, 1 << 18, 700_000]) {
      const [a, b] = ['ä'.repeat(before % 7) + 'a'.repeat(before), 'b'.repeat(300_000)];
      expect(await documents(fileOf('a.txt', `${a}${documentSeparator}\n${b}`))).toEqual([a, b]);
    }
  });

  it('of a .jsonl file are the texts of a field, as they are', async () => {
    const path = fileOf(
      'a.jsonl',
      `{"text":" one \\n","title":"1"}\r\n\n{"text":"","title":"2"}\n{"title":"3","text":"three"}`,
    );
    expect(await documents(path)).toEqual([' one \n', '', 'three']);
    expect(await documents(path, 'title')).toEqual(['1', '2', '3']);
  });

  it('of a folder come in the order of its file names', async () => {
    const folder = mkdtempSync(join(root, 'folder-'));
    writeFileSync(join(folder, 'b.txt'), 'second');
    writeFileSync(join(folder, 'a.jsonl'), '{"text":"first"}\n');
    writeFileSync(join(folder, 'README.md'), 'no text');
    mkdirSync(join(folder, 'c.txt'));
    expect(await documents(folder)).toEqual(['first', 'second']);
  });

  it.each<[what: string, path: () => string, message: RegExp]>([
    [
      'a line that is not JSON',
      () => fileOf('a.jsonl', '{"text":"a"}\n\n{"text":'),
      /a\.jsonl, line 3: not valid JSON: .*one object a line/,
    ],
    ['a line that is no object', () => fileOf('a.jsonl', '[1]'), /a\.jsonl, line 1: expected an object, found \[1\]/],
    [
      'a line without the field',
      () => fileOf('a.jsonl', '{"content":"a","id":1}'),
      /line 1: there is no field text \(its fields are content, id\)/,
    ],
    [
      'a field that is no string',
      () => fileOf('a.jsonl', '{"text":["a"]}'),
      /line 1: expected a string in the field text, found \["a"\]/,
    ],
    ['another kind of file', () => fileOf('a.parquet', ''), /expected a \.txt or a \.jsonl file/],
    ['bytes that are not text', () => fileOf('a.txt', Uint8Array.of(0xff, 0xfe, 0)), /a\.txt is not UTF-8 text/],
    [
      'a text that is cut within a character',
      () => fileOf('a.txt', Buffer.from('ä').subarray(0, 1)),
      /is not UTF-8 text/,
    ],
    ['a missing file', () => join(root, 'none.txt'), /cannot read .*none\.txt: it does not exist/],
    ['an empty folder', () => mkdtempSync(join(root, 'empty-')), /holds no \.txt or \.jsonl file/],
  ])('of %s are refused', async (_, path, message) => {
    const error = await documents(path()).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });
});
