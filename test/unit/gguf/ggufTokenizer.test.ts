import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  createTokenizer,
  ggufTokenizerFiles,
  loadTokenizer,
  namedSplits,
  readTokenizerFiles,
  splitJson,
  splitName,
  writeTokenizerFiles,
  type JsonObject,
  type Tokenizer,
} from '../../../src/checkpoint/index.js';
import { ggufTokenizer } from '../../../src/export/ggufTokenizer.js';
import { completeConfig } from '../../../src/models/index.js';
import { temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();
const fixtures = new URL('../../fixtures/tokenizer/', import.meta.url);
const read = (name: string): JsonObject => JSON.parse(readFileSync(new URL(name, fixtures), 'utf8')) as JsonObject;
/** By test/oracle/make_token_goldens.py. */
const goldens = read('goldens.json') as unknown as {
  texts: string[];
  base: JsonObject;
  sentencePieces: { name: string; model: string; ids: number[][] }[];
};
const size = 400;
const config = completeConfig({
  vocabSize: size,
  hiddenSize: 8,
  intermediateSize: 8,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
});

const path = 'x.gguf';
type Metadata = Record<string, unknown>;

function folderOf(files: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(join(root, 'tokenizer-'));
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), content instanceof Uint8Array ? content : JSON.stringify(content));
  return folder;
}

/** What a GGUF file says of the tokenizer of a folder. */
async function metadataOf(folder: string): Promise<Metadata> {
  const { metadata } = await ggufTokenizer({ folder, tokenizerFiles: () => readTokenizerFiles(folder) }, config);
  return Object.fromEntries(
    Object.entries(metadata).map(([key, { value }]) => [
      key,
      typeof value === 'object' ? Array.from(value as ArrayLike<unknown>) : value,
    ]),
  );
}

const tokenizerOf = (metadata: Metadata): Tokenizer => createTokenizer(ggufTokenizerFiles({ path, metadata })!);

async function expectSame(found: Tokenizer, wanted: Tokenizer, texts: readonly string[]): Promise<void> {
  for (const text of texts)
    for (const addSpecialTokens of [false, true]) {
      const ids = wanted.encode(text, { addSpecialTokens });
      expect(found.encode(text, { addSpecialTokens }), JSON.stringify(text)).toEqual(ids);
      expect(found.decode(ids)).toBe(wanted.decode(ids));
    }
  expect([found.bosId, found.eosId]).toEqual([wanted.bosId, wanted.eosId]);
}

/** The same tokenizer from the files of a folder that are written of it. */
async function expectWritten(metadata: Metadata, texts: readonly string[]): Promise<void> {
  const folder = folderOf({});
  const files = ggufTokenizerFiles({ path, metadata })!;
  await writeTokenizerFiles(files, folder);
  await expectSame(await loadTokenizer(folder), createTokenizer(files), texts);
}

describe('the tokenizer of a GGUF file', () => {
  const texts = [...goldens.texts, '<|endoftext|>', "It's 12345 o'clock;\r\n\n we'll  see", '漢字 and 🙂 emoji'];

  it('of bytes gives the ids of tokenizer.json', async () => {
    const folder = folderOf({
      'tokenizer.json': read('tokenizer.json'),
      'tokenizer_config.json': read('tokenizer_config.json'),
    });
    const metadata = await metadataOf(folder);
    await expectSame(tokenizerOf(metadata), await loadTokenizer(folder), texts);
    await expectWritten(metadata, texts);
  });

  const plain = goldens.sentencePieces.filter(({ name }) => name.startsWith('BPE') && !name.includes('folded'));
  it.each(plain)('of SentencePiece gives its ids: $name', async ({ model, ids }) => {
    const metadata = await metadataOf(folderOf({ 'tokenizer.model': Buffer.from(model, 'base64') }));
    const tokenizer = tokenizerOf(metadata);
    const cut = [...goldens.texts.entries()].filter(([, text]) => !/<\/?s>|<unk>/.test(text));
    for (const [i, text] of cut) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
    await expectWritten(
      metadata,
      cut.map(([, text]) => text),
    );
  });

  const base = {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': ['a', 'b', 'ab', 'Ġ', '<|end|>', '<x>', '[PAD6]'],
    'tokenizer.ggml.token_type': [1, 1, 1, 1, 3, 4, 5],
    'tokenizer.ggml.merges': ['a b'],
    'tokenizer.ggml.bos_token_id': 4,
    'tokenizer.ggml.eos_token_id': 5,
  };

  it('has its special tokens, its templates, and all that ends a text', () => {
    const tokenizer = tokenizerOf({ ...base, 'tokenizer.chat_template': '{{ messages[0].content }}!' });
    expect(tokenizer.encode('ab<x><|end|>')).toEqual([2, 5, 4]);
    expect(tokenizer.decode([2, 5, 4], { skipSpecialTokens: true })).toBe('ab<x>');
    expect([tokenizer.bosToken, tokenizer.eosToken, tokenizer.stopIds]).toEqual(['<|end|>', '<x>', [5, 4]]);
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'hi' }])).toBe('hi!');
    expect(tokenizer.idOf('[PAD6]')).toBeUndefined();
  });

  it('puts the beginning-of-text token where the file or the pre-tokenizer says so', () => {
    const first = (change: Metadata): number[] =>
      tokenizerOf({ ...base, ...change }).encode('a', { addSpecialTokens: true });
    expect(first({})).toEqual([0]);
    expect(first({ 'tokenizer.ggml.add_bos_token': true })).toEqual([4, 0]);
    expect(first({ 'tokenizer.ggml.pre': 'llama-bpe' })).toEqual([4, 0]);
    expect(first({ 'tokenizer.ggml.pre': 'llama-bpe', 'tokenizer.ggml.add_bos_token': false })).toEqual([0]);
    expect(first({ 'tokenizer.ggml.add_eos_token': true })).toEqual([0, 5]);
  });

  it('is refused where it is of a kind that is not known, or contradicts itself', () => {
    const attempt = (change: Metadata) => () => tokenizerOf({ ...base, ...change });
    expect(attempt({ 'tokenizer.ggml.model': 't5' })).toThrow(
      /^x\.gguf: tokenizers of the kind "t5" are not read \(llama \(SentencePiece\)/,
    );
    expect(attempt({ 'tokenizer.ggml.pre': 'kimi-k2' })).toThrow(
      /^x\.gguf: tokenizer\.ggml\.pre must be a pre-tokenizer that is known here, found "kimi-k2"/,
    );
    expect(attempt({ 'tokenizer.ggml.token_type': [1] })).toThrow(/token_type must be 7 numbers, one a token, found/);
    expect(attempt({ 'tokenizer.ggml.merges': undefined })).toThrow(/merges must be a list of strings, found nothing/);
    expect(attempt({ 'tokenizer.ggml.merges': ['a z'] })).toThrow(/names "z", which is not in the vocabulary/);
    expect(ggufTokenizerFiles({ path, metadata: { 'tokenizer.ggml.model': 'none' } })).toBeUndefined();
  });
});

describe('named pre-tokenizers', () => {
  it.each(Object.keys(namedSplits))('%s is known again by what it cuts', (name) => {
    const found = splitName(splitJson(namedSplits[name]))!;
    expect(namedSplits[found].words).toEqual(namedSplits[name].words);
  });
});
