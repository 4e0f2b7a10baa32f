import { mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copySideFiles, loadTokenizer } from '../../../src/checkpoint/index.js';
import { absent, inShared, temporaryFolder } from './places.js';

const root = temporaryFolder();

/** Four letters, words split at spaces, and two special tokens; ids 0 to 6. */
const tinyTokenizer = {
  added_tokens: ['<s>', '</s>'].map((content, i) => ({
    id: 5 + i,
    content,
    special: true,
    normalized: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
  })),
  normalizer: null,
  pre_tokenizer: null,
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [5], tokens: ['<s>'] } },
  },
  decoder: { type: 'Fuse' },
  model: { type: 'BPE', vocab: { a: 0, b: 1, c: 2, ' ': 3, ab: 4 }, merges: [['a', 'b']] },
};

function folderOf(files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(root, 'tokenizer-'));
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  return folder;
}

describe('a tokenizer', () => {
  it('encodes without special tokens unless asked, and decodes to the same text', async () => {
    const tokenizer = await loadTokenizer(
      folderOf({
        'tokenizer.json': tinyTokenizer,
        'tokenizer_config.json': { eos_token: '</s>', bos_token: { content: '<s>' } },
      }),
    );
    expect(tokenizer.encode('abc a')).toEqual([4, 2, 3, 0]);
    expect(tokenizer.encode('abc a', { addSpecialTokens: true })).toEqual([5, 4, 2, 3, 0]);
    expect(tokenizer.encode('c</s>a')).toEqual([2, 6, 0]);
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.decode([4, 2, 3, 0, 6])).toBe('abc a</s>');
    expect(tokenizer.decode(Int32Array.of(5, 4, 6), { skipSpecialTokens: true })).toBe('ab');
    expect([tokenizer.decode([]), tokenizer.decode([99, 0])]).toEqual(['', 'a']);
    expect(tokenizer).toMatchObject({
      eosToken: '</s>',
      eosId: 6,
      bosToken: '<s>',
      bosId: 5,
      stopIds: [6],
      vocabularySize: 7,
    });
    expect([tokenizer.tokenOf(4), tokenizer.idOf('</s>'), tokenizer.tokenOf(99), tokenizer.idOf('abc')]).toEqual([
      'ab',
      6,
      undefined,
      undefined,
    ]);
  });

  it('takes EOS from wherever the folder names it', async () => {
    const eos = async (files: Record<string, unknown>): Promise<unknown> => {
      const { eosId, eosToken, stopIds } = await loadTokenizer(folderOf({ 'tokenizer.json': tinyTokenizer, ...files }));
      return [eosId, eosToken, stopIds];
    };
    expect(await eos({ 'tokenizer_config.json': { eos_token: { content: '</s>' } } })).toEqual([6, '</s>', [6]]);
    expect(
      await eos({ 'tokenizer_config.json': { eos_token: null }, 'special_tokens_map.json': { eos_token: '</s>' } }),
    ).toEqual([6, '</s>', [6]]);
    expect(
      await eos({ 'tokenizer_config.json': { eos_token: '</s>' }, 'generation_config.json': { eos_token_id: [2, 6] } }),
    ).toEqual([6, '</s>', [6, 2]]);
    expect(
      await eos({ 'generation_config.json': { eos_token_id: [6, 2] }, 'config.json': { eos_token_id: 1 } }),
    ).toEqual([6, '</s>', [6, 2]]);
    expect(await eos({ 'config.json': { eos_token_id: 6 } })).toEqual([6, '</s>', [6]]);
    expect(await eos({})).toEqual([undefined, undefined, []]);
  });

  it('knows its chat template', async () => {
    const template = async (files: Record<string, unknown>): Promise<unknown> =>
      (await loadTokenizer(folderOf({ 'tokenizer.json': tinyTokenizer, ...files }))).chatTemplate;
    // As transformers: the file of its own comes first.
    expect(await template({ 'tokenizer_config.json': { chat_template: 'one' }, 'chat_template.jinja': 'two' })).toBe(
      'two',
    );
    expect(await template({ 'tokenizer_config.json': { chat_template: 'one' } })).toBe('one');
    expect(await template({ 'chat_template.jinja': 'two' })).toBe('two');
    expect(await template({ 'chat_template.json': { chat_template: 'three' } })).toBe('three');
    const named = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'four' },
    ];
    expect(await template({ 'tokenizer_config.json': { chat_template: named } })).toBe('four');
    expect(await template({ 'tokenizer_config.json': { chat_template: named.slice(0, 1) } })).toBeUndefined();
    expect(await template({})).toBeUndefined();
  });

  it('that is absent or broken is a clear error', async () => {
    await expect(loadTokenizer(folderOf({}))).rejects.toThrow(
      'has no tokenizer.json, no tokenizer.model, and no vocab.json with merges.txt (copy them from the original model)',
    );
    await expect(loadTokenizer(folderOf({ 'tokenizer.model': '' }))).rejects.toThrow(
      'tokenizer.model is not a SentencePiece model',
    );
    await expect(loadTokenizer(folderOf({ 'tokenizer.json': '{' }))).rejects.toThrow(
      'tokenizer.json is not valid JSON',
    );
    await expect(loadTokenizer(folderOf({ 'tokenizer.json': {} }))).rejects.toThrow(
      'tokenizer.json.model must be an object, found nothing',
    );
    await expect(
      loadTokenizer(folderOf({ 'tokenizer.json': { ...tinyTokenizer, model: { type: 'Odd' } } })),
    ).rejects.toThrow('tokenizer.json.model.type must be BPE, Unigram, WordPiece, found "Odd"');
  });

  it('is copied by its files, whichever there are', async () => {
    const from = folderOf({
      'tokenizer.json': tinyTokenizer,
      'merges.txt': 'a b',
      'config.json': {},
      'model.safetensors': '',
    });
    const to = join(root, 'copy');
    mkdirSync(to);
    expect(await copySideFiles('tokenizer', from, to)).toEqual(['tokenizer.json', 'merges.txt']);
    expect(readdirSync(to).sort()).toEqual(['merges.txt', 'tokenizer.json']);
    mkdirSync(join(from, 'additional_chat_templates'));
    writeFileSync(join(from, 'additional_chat_templates', 'tool_use.jinja'), 'tools');
    writeFileSync(join(from, 'chat_template.json'), '{}');
    const more = ['chat_template.json', join('additional_chat_templates', 'tool_use.jinja')];
    expect(await copySideFiles('tokenizer', from, to)).toEqual(['tokenizer.json', 'merges.txt', ...more]);
    expect(readFileSync(join(to, more[1]), 'utf8')).toBe('tools');
  });
});

const stories = inShared('models', 'stories260K');
describe.skipIf(absent(stories))('the tokenizer of a Llama', () => {
  it('gives back any text', async () => {
    const tokenizer = await loadTokenizer(stories);
    expect(tokenizer).toMatchObject({ eosToken: '</s>', eosId: 2, bosToken: '<s>', bosId: 1, vocabularySize: 512 });
    for (const text of ['Once upon a time', '  two  spaces ', "it 's , ok", 'ünïcode 🎉\n\nlines'])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});
