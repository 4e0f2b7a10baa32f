import * as fc from 'fast-check';
import { mkdirSync, mkdtempSync, writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { documentSeparator, readDocuments } from '../../../src/text/documents.js';
import { UserError } from '../../../src/engine/index.js';
import type { RecordOptions } from '../../../src/text/records.js';
import { arrayElements } from '../../../src/text/textParts.js';
import { temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();
function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(mkdtempSync(join(root, 'text-')), name);
  writeFileSync(path, content);
  return path;
}
const documents = async (path: string, field?: string, chat?: RecordOptions['chat']): Promise<string[]> => {
  const all = [];
  for await (const document of readDocuments(path, { field, chat })) all.push(document);
  return all;
};

/** Made by test/oracle/make_parquet.py. */
const fixture = (name: string): string => join(import.meta.dirname, '../../fixtures/text', name);

/** A zstd frame that stores bytes as they are (RFC 8878): one segment, one raw block. */
function zstdStored(bytes: Uint8Array): Buffer {
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32LE(bytes.length, 5);
  header.writeUIntLE((bytes.length << 3) | 1, 9, 3);
  return Buffer.concat([header, bytes]);
}

describe('documents', () => {
  it('of a .txt file lie between separators, stripped, empty ones left out', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('<|endof', '\n', '<|endoftext|', ''))),
        async (parts) => {
          const text = parts.join(documentSeparator);
          // As Python's text mode reads lines, and as its `str.strip` knows white space.
          const read = text.replace(/^\uFEFF/, '').replaceAll(/\r\n?/g, '\n');
          const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
          const around = new RegExp(`^${space}|${space}$`, 'g');
          const expected = read.split(documentSeparator).map((part) => part.replaceAll(around, ''));
          expect(await documents(fileOf('a.txt', text))).toEqual(expected.filter((part) => part));
        },
      ),
      { numRuns: 60, examples: [[['\u2028a', '\u3000\x1c']], [['\uFEFFa\r\nb']]] },
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

  it('are the same whatever the form of the file', async () => {
    const texts = ['one', 'two\nlines', 'três 🙂'];
    const lines = texts.map((text) => JSON.stringify({ text })).join('\n');
    const forms: Record<string, string | Uint8Array> = {
      'a.jsonl': lines,
      'A.JSONL': lines,
      'bom.jsonl': `\ufeff${lines}`,
      'crlf.jsonl': lines.replaceAll('\n', '\r\n'),
      'a.jsonl.gz': gzipSync(lines),
      'a.json.gz': gzipSync(lines),
      'a.json': JSON.stringify(texts.map((text) => ({ text }))),
      'spaced.json': JSON.stringify(texts, null, 2),
      'a.jsonl.zst': zstdStored(Buffer.from(lines)),
      'strings.jsonl': texts.map((text) => JSON.stringify(text)).join('\n'),
      'a.txt': texts.join(`\n${documentSeparator}\n`),
      'crlf.txt': `\ufeff${texts.join(`\n${documentSeparator}\n`).replaceAll('\n', '\r\n')}`,
      'cr.TXT': texts.join(`\n${documentSeparator}\n`).replaceAll('\n', '\r'),
    };
    for (const [name, content] of Object.entries(forms))
      expect(await documents(fileOf(name, content)), name).toEqual(texts);
  });

  it('have line ends of one form wherever a file is cut for reading', async () => {
    for (const before of [(1 << 18) - 2, (1 << 18) - 1, 1 << 18]) {
      const text = `${'a'.repeat(before)}\r\nb`;
      expect(await documents(fileOf('a.txt', text))).toEqual([text.replace('\r', '')]);
    }
  });

  it('are stripped as Python strips them', async () => {
    expect(await documents(fileOf('a.txt', '\x1c\x85\u2003 a \ufeff\u3000\x1f'))).toEqual(['a \ufeff']);
  });

  it('of a .json array are its elements, wherever it is cut for reading', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary' })),
        fc.constantFrom(undefined, 1, '\t'),
        async (texts, indent) => {
          const chunks = JSON.stringify(texts, null, indent).split(/(?<=[\s\S]{3})/);
          const found = [];
          for await (const element of arrayElements(Readable.from(chunks), 'a.json')) found.push(JSON.parse(element));
          expect(found).toEqual(texts);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('of a .parquet file are its rows, whatever their compression', async () => {
    const rows = Array.from({ length: 6 }, (_, i) => `stóry ${i} 漢字\n`);
    for (const name of ['none', 'snappy', 'gzip', 'zstd', 'brotli'])
      expect(await documents(fixture(`${name}.parquet`)), name).toEqual(rows);
    const chat: RecordOptions['chat'] = (messages) => messages.map(({ content }) => content).join();
    const chats = rows.map((_, i) => `q${i},a${i}`);
    expect(await documents(fixture('chats.parquet'), undefined, chat)).toEqual(chats);
    expect(await documents(fixture('zstd.parquet'), 'messages', chat)).toEqual(chats);
    await expect(documents(fixture('chats.parquet'))).rejects.toThrow(
      /row 1: holds a chat.*its fields are id, messages/,
    );
    await expect(documents(fixture('lz4.parquet'))).rejects.toThrow(/lz4\.parquet is not a parquet file .*LZ4/);
  });

  it('of chats are what the template makes of them', async () => {
    const chat: RecordOptions['chat'] = (messages) =>
      messages.map(({ role, content }) => `${role}: ${String(content)}`).join('|');
    const said = 'user: hi|assistant: hello';
    const records = [
      {
        messages: [
          { role: 'user', content: 'hi' },
          { role: 'assistant', content: 'hello' },
        ],
      },
      {
        id: 1,
        conversations: [
          { from: 'human', value: 'hi' },
          { from: 'gpt', value: 'hello' },
        ],
      },
      { instruction: 'hi', input: '', output: 'hello' },
      { prompt: 'hi', response: 'hello' },
      { prompt: 'hi', completion: 'hello' },
    ];
    for (const record of records)
      expect(await documents(fileOf('a.jsonl', JSON.stringify(record)), undefined, chat)).toEqual([said]);
    const alpaca = { system: 'be short', instruction: 'sort', input: 'b a', output: 'a b' };
    expect(await documents(fileOf('a.json', JSON.stringify([alpaca])), undefined, chat)).toEqual([
      'system: be short|user: sort\n\nb a|assistant: a b',
    ]);
    expect(await documents(fileOf('a.json', JSON.stringify([alpaca])), 'output', chat)).toEqual(['a b']);
    const named = fileOf('a.jsonl', JSON.stringify({ text: 'not this', talk: records[0].messages }));
    expect(await documents(named, 'talk', chat)).toEqual([said]);
    expect(await documents(named, undefined, chat)).toEqual(['not this']);
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
    ['another kind of file', () => fileOf('a.md', ''), /a\.md: expected a \.txt, \.jsonl, \.json or \.parquet file/],
    ['a table of text', () => fileOf('a.CSV', 'text\na'), /a csv file is not read: save its column/],
    ['no parquet', () => fileOf('a.parquet', 'PAR1'), /a\.parquet is not a parquet file that can be read/],
    [
      'a broken parquet',
      () => fileOf('a.parquet', Buffer.concat([Buffer.from('PAR1'), Buffer.alloc(64), Buffer.from('PAR1')])),
      /a\.parquet is not a parquet file that can be read: it is broken/,
    ],
    [
      // Whose other columns are broken, too, and would fail by themselves.
      'a parquet with a column that its schema has not',
      () => {
        const bytes = readFileSync(fixture('none.parquet'));
        bytes.write('contens', bytes.lastIndexOf('content', bytes.lastIndexOf('ARROW:schema')));
        return fileOf('a.parquet', bytes.fill(0xff, 4, 60));
      },
      /a\.parquet is not a parquet file that can be read: its columns are not those of its schema/,
    ],
    [
      'a parquet with a longer run of levels than its page has values',
      () => {
        const bytes = readFileSync(fixture('none.parquet'));
        const levels = bytes.indexOf(Buffer.from([2, 0, 0, 0, 2 * 4, 1]), bytes.indexOf('st'));
        return fileOf('a.parquet', bytes.fill(2 * 63, levels + 4, levels + 5));
      },
      /a\.parquet is not a parquet file that can be read: a run of 63 values in a page of \d, behind the first 0/,
    ],
    ['a parquet in an archive', () => fileOf('a.parquet.gz', ''), /a parquet file compresses itself/],
    ['UTF-16', () => fileOf('a.txt', Buffer.from('\ufeffa', 'utf16le')), /a\.txt is not UTF-8 text, but UTF-16/],
    ['Latin-1', () => fileOf('a.txt', Buffer.from('é a', 'latin1')), /is not UTF-8 text, but perhaps Latin-1/],
    ['an archive by another name', () => fileOf('a.txt', gzipSync('a')), /but a gzip file: its name must end in \.gz/],
    [
      'a cut archive',
      () => fileOf('a.txt.gz', gzipSync('abc').subarray(0, 15)),
      /is not a whole gzip file: unexpected/,
    ],
    ['no archive', () => fileOf('a.txt.zst', 'abc'), /a\.txt\.zst is not a whole zstd file/],
    ['an array that does not end', () => fileOf('a.json', '[{"text":"a"}'), /record 1: the file ends before its array/],
    ['an array with a gap', () => fileOf('a.json', '["a",,"b"]'), /record 2: there is no value/],
    ['text behind an array', () => fileOf('a.json', '["a"] "b"'), /expected nothing, found "/],
    ['no JSON in an array', () => fileOf('a.json', '["a", b]'), /a\.json, record 2: not valid JSON/],
    [
      'a value nested beyond the stack',
      () => fileOf('a.jsonl', `{"text":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
      /line 1: expected a string in the field text, found \[\[\[\["…"\]\]\]\]|found \[\[\[/,
    ],
    [
      'a chat without a template',
      () => fileOf('a.jsonl', '{"conversations":[{"from":"human","value":"a"}],"id":1}'),
      /line 1: holds a chat, and there is no chat template.*its fields are conversations, id/,
    ],
    [
      'messages that are none',
      () => fileOf('a.jsonl', '{"messages":"a"}'),
      /expected a list of messages in the field mess/,
    ],
    [
      'a message without a role',
      () => fileOf('a.jsonl', '{"messages":[{"content":"a"}]}'),
      /expected messages with role/,
    ],
    ['bytes that are not text', () => fileOf('a.txt', Uint8Array.of(0xff, 0xfe, 0)), /a\.txt is not UTF-8 text/],
    [
      'a text that is cut within a character',
      () => fileOf('a.txt', Buffer.from('ä').subarray(0, 1)),
      /is not UTF-8 text/,
    ],
    ['a missing file', () => join(root, 'none.txt'), /cannot read .*none\.txt: it does not exist/],
    ['an empty folder', () => mkdtempSync(join(root, 'empty-')), /holds no \.txt, \.jsonl, \.json or \.parquet file/],
  ])('of %s are refused', async (_, path, message) => {
    const error = await documents(path()).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });
});
