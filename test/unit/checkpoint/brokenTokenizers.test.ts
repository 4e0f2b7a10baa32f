import * as fc from 'fast-check';
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../src/checkpoint/index.js';
import { UserError } from '../../../src/engine/index.js';
import { temporaryFolder } from './places.js';

const root = temporaryFolder();
const fixtures = new URL('../../fixtures/tokenizer/', import.meta.url);
const goldens = JSON.parse(readFileSync(new URL('goldens.json', fixtures), 'utf8')) as {
  texts: string[];
  sentencePieces: { model: string }[];
};

type Json = Record<string, unknown>;

/** A BPE with a step of every kind. */
const whole = (): Json => ({
  added_tokens: [{ id: 6, content: '</s>', special: true, normalized: false, single_word: false, lstrip: true }],
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'Prepend', prepend: ' ' },
      { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { String: 'a' }, behavior: 'Isolated', invert: false },
      { type: 'Digits', individual_digits: true },
      { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: true },
      { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '</s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '</s>': { id: '</s>', ids: [6], tokens: ['</s>'] } },
  },
  decoder: { type: 'Sequence', decoders: [{ type: 'Strip', content: ' ', start: 1, stop: 0 }, { type: 'Fuse' }] },
  model: { type: 'BPE', unk_token: 'a', vocab: { a: 0, b: 1, c: 2, Ġ: 3, ab: 4 }, merges: [['a', 'b']] },
});
const config = (): Json => ({
  eos_token: { content: '</s>' },
  bos_token: '</s>',
  chat_template: [{ name: 'default', template: '{{ messages[0].content }}' }],
  added_tokens_decoder: { '7': { content: '<x>', special: true } },
  additional_special_tokens: ['<y>'],
});

function folderOf(files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(root, 'tokenizer-'));
  for (const [name, content] of Object.entries(files))
    writeFileSync(
      join(folder, name),
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    );
  return folder;
}

const messageOf = async (files: Record<string, unknown>): Promise<string> => {
  const error = await loadTokenizer(folderOf(files)).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  const { message } = error as Error;
  expect(message.length).toBeLessThan(600);
  return message;
};

/** Every place in a value, as the keys that lead there. */
function* placesIn(value: unknown, way: readonly string[] = []): Generator<readonly string[]> {
  yield way;
  if (typeof value === 'object' && value !== null)
    for (const [key, item] of Object.entries(value)) yield* placesIn(item, [...way, key]);
}

function put(value: Json, way: readonly string[], item: unknown): void {
  const holder = way.slice(0, -1).reduce((at, key) => at[key] as Json, value);
  if (item === undefined) delete holder[way.at(-1)!];
  else holder[way.at(-1)!] = item;
}

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const otherValues = [
  undefined,
  null,
  true,
  0,
  -1,
  1.5,
  2e8,
  1e300,
  '',
  'x',
  [],
  {},
  [1],
  { a: 1 },
  [[]],
  { type: 'x' },
];

/** Loads and uses a tokenizer: right, or one sentence. */
async function usedOrRefused(files: Record<string, unknown>, what: string): Promise<'used' | 'refused'> {
  try {
    const tokenizer = await loadTokenizer(folderOf(files));
    for (const text of ['', 'ab c1  a</s>b<x>', goldens.texts[2]]) {
      const ids = tokenizer.encode(text, { addSpecialTokens: true });
      expect(
        ids.every((id) => Number.isInteger(id) && id >= 0),
        what,
      ).toBe(true);
      expect(typeof tokenizer.decode(ids), what).toBe('string');
    }
    tokenizer.applyChatTemplate([{ role: 'user', content: 'a' }]);
    return 'used';
  } catch (error) {
    if (!(error instanceof UserError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
    expect(error.message.length, what).toBeLessThan(600);
    return 'refused';
  }
}

describe('a tokenizer that is wrong somewhere', () => {
  it.each(['tokenizer.json', 'tokenizer_config.json'])('in %s is used or refused in a sentence', async (name) => {
    const outcomes = new Set<string>();
    for (const way of placesIn(name === 'tokenizer.json' ? whole() : config())) {
      if (way.length === 0) continue;
      for (const other of otherValues) {
        const files: Record<string, Json> = { 'tokenizer.json': whole(), 'tokenizer_config.json': config() };
        put(files[name], way, other);
        outcomes.add(await usedOrRefused(files, `${way.join('.')} = ${JSON.stringify(other)}`));
      }
    }
    expect(outcomes).toEqual(new Set(['used', 'refused']));
  });

  it('in a SentencePiece model is used or refused in a sentence', async () => {
    const model = Buffer.from(goldens.sentencePieces[1].model, 'base64');
    await fc.assert(
      fc.asyncProperty(fc.nat(model.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
        const changed = Buffer.from(cut ? model.subarray(0, at) : model);
        if (!cut) changed[at] = byte;
        await usedOrRefused({ 'tokenizer.model': changed, 'tokenizer_config.json': config() }, `${at}: ${byte}`);
      }),
      { numRuns: 100 },
    );
  });

  it('is refused by the key that is wrong', async () => {
    const changed = async (way: string, item: unknown, of = whole()): Promise<string> => {
      put(of, way.split('.'), item);
      return messageOf({ 'tokenizer.json': of });
    };
    expect(await changed('model.vocab.b', 2e8)).toMatch(/the id 200000000 of "b" is far beyond the 6 tokens there are/);
    expect(await changed('added_tokens.0.id', 2e8)).toMatch(/the id 200000000 of "<\/s>" is far beyond/);
    expect(await changed('added_tokens.0.id', 1.5)).toMatch(/added_tokens\[0\]\.id must be a whole number.*found 1\.5/);
    expect(await changed('model.merges', [['a', 'x']])).toMatch(/merges\[0\] names "x", which is not in the vocab/);
    expect(await changed('model.merges', ['a b c'])).toMatch(/merges\[0\] must be two tokens, found "a b c"/);
    expect(await changed('post_processor.single.1.Sequence.id', 'B')).toMatch(
      /post_processor\.single\[1\]\.Sequence\.id must be A, found "B"/,
    );
    expect(await changed('pre_tokenizer.pretokenizers.0.type', 'Odd')).toMatch(
      /pre_tokenizer\.pretokenizers\[0\]\.type is "Odd", a pre-tokenizer that is not known here \(known are ByteLevel/,
    );
    expect(await messageOf({ 'tokenizer.json': whole(), 'added_tokens.json': { '<x>': 1.5 } })).toMatch(
      /added_tokens\.json: "<x>" must have a whole number as its id, found 1\.5/,
    );
    expect(await messageOf({ 'tokenizer.json': whole(), 'config.json': { eos_token_id: 'x' } })).toMatch(
      /eos_token_id must be a whole number, found "x"/,
    );
    expect(await messageOf({ 'tokenizer.json': whole(), 'tokenizer_config.json': { eos_token: 3 } })).toMatch(
      /eos_token must be a token, found 3/,
    );
  });

  it('is refused in a short sentence where it is nested beyond the stack', async () => {
    for (const key of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder', 'added_tokens', 'model', 'other']) {
      const text = JSON.stringify({ ...whole(), [key]: 0 }).replace(`"${key}":0`, `"${key}":${nested(5000)}`);
      expect(await messageOf({ 'tokenizer.json': text })).toMatch(/tokenizer\.json must be nested at most \d+ deep/);
    }
  });

  it('is refused where a file does not end', async () => {
    const folder = folderOf({});
    symlinkSync('/dev/zero', join(folder, 'tokenizer.json'));
    await expect(loadTokenizer(folder)).rejects.toThrow(/tokenizer\.json has more than \d+ bytes/);
  });
});

describe('a pattern that backtracks without end', () => {
  const text = `${'a'.repeat(40)}c`;
  it.each<[where: string, change: Json]>([
    ['a pre-tokenizer', { pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated' } }],
    ['a normalizer', { normalizer: { type: 'Replace', pattern: { Regex: '(a+)+b' }, content: '' } }],
  ])('in %s is stopped, and named', async (_, change) => {
    const folder = folderOf({ 'tokenizer.json': { ...whole(), ...change } });
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.encode('cb').length).toBeGreaterThan(0);
    const begin = performance.now();
    expect(() => tokenizer.encode(text)).toThrow(
      `the tokenizer of ${join(folder, 'tokenizer.json')} took more than 3.001 seconds for 41 characters of text`,
    );
    expect(performance.now() - begin).toBeLessThan(5000);
    // And it can be used again.
    expect(tokenizer.encode('cb').length).toBeGreaterThan(0);
  });
});

describe('a chat template', () => {
  const templated = (template: string): Promise<string> =>
    loadTokenizer(
      folderOf({ 'tokenizer.json': whole(), 'tokenizer_config.json': { ...config(), chat_template: template } }),
    ).then((tokenizer) =>
      tokenizer.applyChatTemplate([{ role: 'user', content: 'hi' }], { addGenerationPrompt: true }),
    );
  it('has the messages, the special tokens and whether an answer is asked for', async () => {
    expect(
      await templated(
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}",
      ),
    ).toBe('</s>[user] hi\n>');
  });
  it('that refuses, is broken or does not end is one sentence', async () => {
    await expect(templated("{{ raise_exception('no users here') }}")).rejects.toThrow(/cannot be used: no users here/);
    await expect(templated('{% for %}')).rejects.toThrow(UserError);
    const endless =
      '{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}{% endfor %}{% endfor %}{% endfor %}';
    await expect(templated(endless)).rejects.toThrow(/the chat template of .* took more than/);
  });
  it('that is absent is one sentence', async () => {
    const tokenizer = await loadTokenizer(folderOf({ 'tokenizer.json': whole() }));
    expect(() => tokenizer.applyChatTemplate([])).toThrow(/has no chat template/);
  });
});
