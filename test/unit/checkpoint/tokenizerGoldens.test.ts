import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../src/checkpoint/index.js';
import { temporaryFolder } from './places.js';

/** Made by test/oracle/make_token_goldens.py with Hugging Face's tokenizers and with SentencePiece. */
interface Goldens {
  readonly texts: readonly string[];
  readonly base: Record<string, unknown>;
  readonly cases: readonly { name: string; change: Record<string, unknown>; ids: number[][] }[];
  readonly sentencePieces: readonly { name: string; model: string; ids: number[][] }[];
}

const path = new URL('../../fixtures/tokenizer/goldens.json', import.meta.url);
const { texts, base, cases, sentencePieces } = JSON.parse(readFileSync(path, 'utf8')) as Goldens;
const root = temporaryFolder();

/** Keys with a plus add to a list of the base. */
function changed(change: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(change).map(([key, value]) =>
    key.startsWith('+')
      ? [key.slice(1), [...(base[key.slice(1)] as unknown[]), ...(value as unknown[])]]
      : [key, value],
  );
  return { ...base, ...Object.fromEntries(entries) };
}

function folderOf(name: string, content: string | Uint8Array): string {
  const folder = mkdtempSync(join(root, 'tokenizer-'));
  writeFileSync(join(folder, name), content);
  return folder;
}

describe('token ids', () => {
  it.each(cases)("of $name are those of Hugging Face's tokenizers", async ({ change, ids }) => {
    const tokenizer = await loadTokenizer(folderOf('tokenizer.json', JSON.stringify(changed(change))));
    for (const [i, text] of texts.entries()) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
  });

  it.each(sentencePieces)('of a tokenizer.model, $name, are those of SentencePiece', async ({ model, ids }) => {
    const tokenizer = await loadTokenizer(folderOf('tokenizer.model', Buffer.from(model, 'base64')));
    // What SentencePiece reads letter by letter is one token here, as in transformers.
    const plain = [...texts.entries()].filter(([, text]) => !/<\/?s>|<unk>/.test(text));
    expect(plain.length).toBeGreaterThan(20);
    for (const [i, text] of plain) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
    expect(tokenizer).toMatchObject({ bosToken: '<s>', eosToken: '</s>' });
    expect(tokenizer.encode('a</s>').at(-1)).toBe(tokenizer.eosId);
    expect(tokenizer.encode('a', { addSpecialTokens: true })).toEqual([tokenizer.bosId, ...tokenizer.encode('a')]);
  });

  it('of a tokenizer.model come back as text', async () => {
    const { model } = sentencePieces.find(({ name }) => name === 'BPE with bytes')!;
    const tokenizer = await loadTokenizer(folderOf('tokenizer.model', Buffer.from(model, 'base64')));
    // Its mark is a space, and text behind a special token begins with one.
    for (const text of texts.filter((one) => !/[▁]|<\/?s>|<unk>/.test(one)))
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});
