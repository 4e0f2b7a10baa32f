import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTokenizerFiles } from '../../../src/checkpoint/index.js';
import { ggufTokenizer } from '../../../src/export/ggufTokenizer.js';
import { completeConfig } from '../../../src/models/index.js';
import { temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();
const fixtures = new URL('../../fixtures/tokenizer/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, fixtures), 'utf8');
const goldens = JSON.parse(read('goldens.json')) as {
  base: Record<string, unknown>;
  cases: { name: string; change: Record<string, unknown> }[];
  sentencePieces: { name: string; model: string }[];
};
const config = completeConfig({
  modelType: 'llama',
  vocabSize: 400,
  hiddenSize: 8,
  intermediateSize: 8,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
});

const written = (folder: string): ReturnType<typeof ggufTokenizer> =>
  ggufTokenizer({ folder, tokenizerFiles: () => readTokenizerFiles(folder) }, config);

function folderOf(files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(root, 'model-'));
  for (const [name, content] of Object.entries(files))
    writeFileSync(
      join(folder, name),
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    );
  return folder;
}
const notesOf = async (change: Record<string, unknown>): Promise<readonly string[]> =>
  (await written(folderOf({ 'tokenizer.json': { ...goldens.base, ...change } }))).notes;

describe('a tokenizer in a GGUF file', () => {
  it('says which of its parts are lost', async () => {
    expect(await notesOf({})).toEqual([]);
    const folding = goldens.cases.find(({ name }) => name === 'folding')!;
    expect(await notesOf(folding.change)).toEqual([
      "a GGUF cannot hold the tokenizer's normalizer (NFKC, Replace): tokens of some texts may differ",
    ]);
    const token = { id: 390, content: '<l>', lstrip: true, normalized: false };
    expect(await notesOf({ added_tokens: [...(goldens.base.added_tokens as object[]), token] })).toEqual([
      'a GGUF cannot say that added tokens take white space along or count as whole words only: "<l>"',
    ]);
    const byteLevel = { ...(JSON.parse(read('tokenizer.json')) as object), normalizer: { type: 'NFC' } };
    const { notes } = await written(folderOf({ 'tokenizer.json': byteLevel }));
    expect(notes).toEqual(["a GGUF cannot hold the tokenizer's normalizer (NFC): tokens of some texts may differ"]);
  });

  it('has its chat templates, by name where there are several', async () => {
    const templates = async (files: Record<string, unknown>): Promise<unknown> => {
      const { metadata, notes } = await written(folderOf({ 'tokenizer.json': goldens.base, ...files }));
      const keys = Object.keys(metadata).filter((key) => key.includes('chat_template'));
      return [notes, Object.fromEntries(keys.map((key) => [key.slice('tokenizer.'.length), metadata[key].value]))];
    };
    const named = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ];
    expect(await templates({})).toEqual([[], {}]);
    expect(await templates({ 'tokenizer_config.json': { chat_template: 'plain' } })).toEqual([
      [],
      { chat_template: 'plain' },
    ]);
    expect(await templates({ 'chat_template.json': { chat_template: 'plain' } })).toEqual([
      [],
      { chat_template: 'plain' },
    ]);
    expect(await templates({ 'tokenizer_config.json': { chat_template: named } })).toEqual([
      [],
      { chat_template: 'plain', chat_templates: ['tool_use'], 'chat_template.tool_use': 'tools' },
    ]);
    expect(await templates({ 'tokenizer_config.json': { chat_template: named.slice(0, 1) } })).toEqual([
      ['none of the chat templates is the default one, so llama.cpp takes one of its own'],
      { chat_templates: ['tool_use'], 'chat_template.tool_use': 'tools' },
    ]);
  });

  it('of a SentencePiece model has its scores and types', async () => {
    const { model } = goldens.sentencePieces.find(({ name }) => name.startsWith('BPE without a prefix'))!;
    const folder = folderOf({ 'tokenizer.model': Buffer.from(model, 'base64') });
    const { metadata, notes } = await written(folder);
    const value = (key: string): unknown => metadata[`tokenizer.ggml.${key}`].value;
    const [tokens, scores, types] = ['tokens', 'scores', 'token_type'].map((key) =>
      Array.from(value(key) as ArrayLike<unknown>),
    );
    expect(notes).toEqual([]);
    expect([value('model'), value('add_space_prefix'), value('add_bos_token')]).toEqual(['llama', false, true]);
    expect(types.slice(0, 6)).toEqual([2, 3, 3, 4, 4, 4]);
    expect(tokens.slice(0, 6)).toEqual(['<unk>', '<s>', '</s>', '  ', '   ', '<b>']);
    const byte = tokens.indexOf('<0x41>');
    expect(types[byte]).toBe(6);
    // SentencePiece numbers its merges: the first has the score 0, the next -1, and so on.
    const first = types.indexOf(1);
    expect(scores.slice(first, first + 3)).toEqual([-0, -1, -2]);
  });
});
