/** Texts and tokenizers as people have them, of the built-in model: the same tokens whatever the form. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { loadTokenizer, type JsonObject, type Tokenizer } from '../../src/checkpoint/index.js';
import { calibrationRows } from '../../src/text/index.js';
import { temporaryFolder } from '../unit/checkpoint/places.js';

const root = temporaryFolder();
const builtIn = resolve(import.meta.dirname, '../../models/tiny-stories');
const stories = Array.from(
  { length: 12 },
  (_, i) => `Once upon a time, there was a cat with ${i} friends.\nThey were “happy” — très happy.`,
);
const template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}";

/** The tokenizer's files of the built-in model, with others over them; `undefined` takes one away. */
function folderOf(files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(root, 'model-'));
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(builtIn, name), join(folder, name));
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(resolve(path, '..'), { recursive: true });
    if (content === undefined) rmSync(path);
    else writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

const json = (name: string): JsonObject => JSON.parse(readFileSync(join(builtIn, name), 'utf8')) as JsonObject;
const own = json('tokenizer_config.json');
const tokenizer = json('tokenizer.json') as JsonObject & {
  added_tokens: JsonObject[];
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
};
const size = Object.keys(tokenizer.model.vocab).length;

async function rowsOf(of: Tokenizer, name: string, content: string | Uint8Array, field?: string): Promise<number[][]> {
  const path = join(mkdtempSync(join(root, 'text-')), name);
  writeFileSync(path, content);
  const { rows } = await calibrationRows(of, [path], { samples: 4, length: 64, field });
  return rows.map((row) => Array.from(row));
}

describe('a calibration text', () => {
  const lines = (records: readonly unknown[]): string =>
    records.map((record) => `${JSON.stringify(record)}\n`).join('');
  it('gives the same rows in every form', async () => {
    const model = await loadTokenizer(builtIn);
    const records = lines(stories.map((text) => ({ text })));
    const expected = await rowsOf(model, 'a.jsonl', records);
    expect(await rowsOf(model, 'bom.jsonl', `\ufeff${records}`)).toEqual(expected);
    expect(await rowsOf(model, 'crlf.JSONL', records.replaceAll('\n', '\r\n'))).toEqual(expected);
    expect(await rowsOf(model, 'a.jsonl.gz', gzipSync(records))).toEqual(expected);
    expect(await rowsOf(model, 'a.json', JSON.stringify(stories.map((text) => ({ text }))))).toEqual(expected);
    expect(await rowsOf(model, 'a.jsonl', lines(stories.map((output) => ({ output }))), 'output')).toEqual(expected);
    const text = stories.join('\n\n');
    const plain = await rowsOf(model, 'a.txt', text);
    expect(plain).not.toEqual(expected);
    expect(await rowsOf(model, 'A.TXT', text.replaceAll('\n', '\r\n'))).toEqual(plain);
    expect(await rowsOf(model, 'bom.txt', `\ufeff${text}`)).toEqual(plain);
  });

  it('of chats goes through the template of the model, or is refused by its fields', async () => {
    const model = await loadTokenizer(folderOf({ 'chat_template.jinja': template }));
    const said = stories.map((text) => ({ text: `[user] Tell a story.\n[assistant] ${text}\n` }));
    const expected = await rowsOf(model, 'a.jsonl', lines(said));
    const forms = {
      messages: (story: string) => ({
        messages: [
          { role: 'user', content: 'Tell a story.' },
          { role: 'assistant', content: story },
        ],
      }),
      conversations: (story: string) => ({
        conversations: [
          { from: 'human', value: 'Tell a story.' },
          { from: 'gpt', value: story },
        ],
      }),
      instruction: (story: string) => ({ instruction: 'Tell a story.', input: '', output: story }),
    };
    const without = await loadTokenizer(builtIn);
    for (const [field, form] of Object.entries(forms)) {
      const text = lines(stories.map((story): object => form(story)));
      expect(await rowsOf(model, 'a.jsonl', text), field).toEqual(expected);
      await expect(rowsOf(without, 'a.jsonl', text)).rejects.toThrow(new RegExp(`its fields are ${field}`));
    }
  });
});

describe('a tokenizer', () => {
  const token = (content: string, id: number, special: boolean): JsonObject => ({
    id,
    content,
    special,
    normalized: false,
  });
  const text = `<|user|> ${stories[0]} <think>once more<|user|>`;

  it('knows added tokens that only other files name', async () => {
    const added = [token('<|user|>', size, true), token('<think>', size + 1, false)];
    const whole = await loadTokenizer(
      folderOf({ 'tokenizer.json': { ...tokenizer, added_tokens: [...tokenizer.added_tokens, ...added] } }),
    );
    const ids = whole.encode(text);
    expect(ids.filter((id) => id >= size)).toEqual([size, size + 1, size]);
    const decoder = Object.fromEntries(added.map((one) => [String(one.id), one]));
    for (const files of [
      { 'tokenizer_config.json': { ...own, added_tokens_decoder: decoder } },
      {
        'added_tokens.json': { '<|user|>': size, '<think>': size + 1 },
        'tokenizer_config.json': { ...own, additional_special_tokens: ['<|user|>'] },
      },
    ]) {
      const other = await loadTokenizer(folderOf(files));
      expect(other.encode(text)).toEqual(ids);
      expect(other.decode(ids, { skipSpecialTokens: true })).toBe(whole.decode(ids, { skipSpecialTokens: true }));
      expect(other.vocabularySize).toBe(size + 2);
    }
    const config = {
      ...own,
      eos_token: '<|im_end|>',
      added_tokens_decoder: { [size]: token('<|im_end|>', size, true) },
    };
    const ended = await loadTokenizer(folderOf({ 'tokenizer_config.json': config }));
    expect(ended).toMatchObject({ eosToken: '<|im_end|>', eosId: size });
    expect((await rowsOf(ended, 'a.jsonl', JSON.stringify({ text: 'a '.repeat(200) })))[0]).not.toContain(size);
    expect((await rowsOf(ended, 'a.jsonl', '{"text":"a"}\n'.repeat(64)))[0]).toContain(size);
  });

  it('of vocab.json and merges.txt gives the ids of tokenizer.json', async () => {
    const merges = tokenizer.model.merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : pair));
    const files = {
      'tokenizer.json': undefined,
      'vocab.json': tokenizer.model.vocab,
      'tokenizer_config.json': { ...own, tokenizer_class: 'GPT2Tokenizer' },
    };
    const whole = await loadTokenizer(builtIn);
    for (const end of ['\n', '\r\n']) {
      const two = await loadTokenizer(folderOf({ ...files, 'merges.txt': ['#version: 0.2', ...merges, ''].join(end) }));
      for (const one of [...stories, text, '<|endoftext|>a', '  a\n\n b '])
        expect(two.encode(one)).toEqual(whole.encode(one));
      expect(two).toMatchObject({ eosId: whole.eosId, bosId: whole.bosId, vocabularySize: size });
      expect(two.decode(two.encode(stories[1]))).toBe(stories[1]);
    }
    const odd = { ...files, 'merges.txt': '', 'tokenizer_config.json': { tokenizer_class: 'OddTokenizer' } };
    await expect(loadTokenizer(folderOf(odd))).rejects.toThrow(/tokenizer_class is "OddTokenizer"/);
  });
});
