/** Stock llama.cpp cuts texts into the tokens that the model's own tokenizer does, for every kind of tokenizer that is exported. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openLlama } from './nextTokens.mjs';
import { createEngine, exportModel, loadTokenizer, writeRandomModel } from './randomModels.mjs';

let llama, engine, folder;
before(async () => {
  llama = await openLlama();
  engine = await createEngine('wasm');
  folder = await mkdtemp(join(tmpdir(), 'llm-drop-tokenizers-'));
});
after(async () => {
  engine.dispose();
  await llama.dispose();
  await rm(folder, { recursive: true });
});

const texts = [
  'Once upon a time, there was a little girl named Lily.',
  '  two spaces,\n\nnewlines\tand a tab ',
  "It's 12345 o'clock; we'll see what they've done!",
  'Ünïcödé, 漢字 and 🙂 emoji',
  'x = {"a": [1, 2.50], "b": null} // code();',
  'A',
  'the the  the   the',
];

/** A folder of a tokenizer.json and what belongs to it. */
async function checkTokenizer(name, from) {
  const { length } = Object.keys(JSON.parse(await readFile(join(from, 'tokenizer.json'), 'utf8')).model.vocab);
  const source = join(folder, name);
  const config = {
    vocabSize: length + 40,
    hiddenSize: 32,
    intermediateSize: 32,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
  };
  await writeRandomModel(source, config, 1, pathToFileURL(`${from}/`));
  const out = join(folder, `${name}.gguf`);
  const { notes } = await exportModel(source, { to: 'gguf', type: 'f32', out, engine });
  assert.deepEqual(notes, []);
  const ours = await loadTokenizer(source);
  const model = await llama.loadModel({ modelPath: out, gpuLayers: 0 });
  for (const text of texts) {
    const theirs = Array.from(model.tokenize(text));
    assert.deepEqual(theirs, ours.encode(text), `${name}: ${JSON.stringify(text)}`);
  }
  assert.equal(model.tokens.bos, ours.bosId ?? null);
  assert.equal(model.tokens.eos, ours.eosId ?? null);
  await model.dispose();
}

/** Byte-pair merges of a text whose words begin with a mark, as SentencePiece makes them. */
function learnMerges(text, count) {
  let words = text.split(' ').map((word) => [...`▁${word}`]);
  const merges = [];
  for (let i = 0; i < count; i++) {
    const counts = new Map();
    for (const word of words)
      for (let k = 1; k < word.length; k++)
        counts.set(`${word[k - 1]} ${word[k]}`, (counts.get(`${word[k - 1]} ${word[k]}`) ?? 0) + 1);
    const [best] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0] ?? [];
    if (!best) break;
    const [left, right] = best.split(' ');
    merges.push([left, right]);
    words = words.map((word) => {
      const joined = [];
      for (const piece of word) {
        if (piece === right && joined.at(-1) === left) joined[joined.length - 1] = left + right;
        else joined.push(piece);
      }
      return joined;
    });
  }
  return merges;
}

async function writeSentencePiece(to) {
  const sample = texts.join(' ').replaceAll(/[^ -~]/g, '');
  const merges = learnMerges(sample, 80);
  const letters = [...new Set(`▁${sample.replaceAll(' ', '')}`)];
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const pieces = [...new Set(['<unk>', '<s>', '</s>', ...bytes, ...merges.map((pair) => pair.join('')), ...letters])];
  const special = (id) => ({
    id,
    content: pieces[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  await mkdir(to);
  const tokenizer = {
    version: '1.0',
    added_tokens: [0, 1, 2].map(special),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
  };
  await writeFile(join(to, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(
    join(to, 'tokenizer_config.json'),
    JSON.stringify({ bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' }),
  );
}

describe('tokenizers in llama.cpp', () => {
  it('a byte-level BPE that cuts words as GPT-2', () =>
    checkTokenizer('gpt2', new URL('../../models/tiny-stories', import.meta.url).pathname));
  it('a byte-level BPE that cuts words as Llama 3, Qwen 2, Mistral and SmolLM do', async () => {
    const base = new URL('../../models/tiny-stories/', import.meta.url);
    const tokenizer = JSON.parse(await readFile(new URL('tokenizer.json', base), 'utf8'));
    const split = (Regex) => ({
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    });
    const llama3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
    const tekken = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
    const kinds = {
      'llama-bpe': split(llama3),
      qwen2: split(llama3.replace('{1,3}', '')),
      tekken: split(tekken),
      smollm: {
        type: 'Sequence',
        pretokenizers: [{ type: 'Digits', individual_digits: true }, tokenizer.pre_tokenizer],
      },
    };
    for (const [name, pre] of Object.entries(kinds)) {
      const to = join(folder, `${name}-tokenizer`);
      await mkdir(to);
      const ignore = name === 'llama-bpe' || name === 'tekken';
      await writeFile(
        join(to, 'tokenizer.json'),
        JSON.stringify({ ...tokenizer, pre_tokenizer: pre, model: { ...tokenizer.model, ignore_merges: ignore } }),
      );
      await writeFile(join(to, 'tokenizer_config.json'), await readFile(new URL('tokenizer_config.json', base)));
      await checkTokenizer(name, to);
    }
  });
  it('a SentencePiece-like one', async () => {
    const to = join(folder, 'pieces');
    await writeSentencePiece(to);
    await checkTokenizer('sentencepiece', to);
  });
  const stories = new URL('../../../shared/models/stories260K', import.meta.url).pathname;
  it('the one of stories260K', { skip: existsSync(stories) ? false : 'needs ../shared' }, () =>
    checkTokenizer('stories', stories),
  );
});
