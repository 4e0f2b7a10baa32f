import { UserError, shownValue } from '../../engine/index.js';
import type { JsonObject } from '../jsonFile.js';

/** How Qwen 2 and its kin cut text into words. */
const qwen2 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/**
 * `vocab.json` and `merges.txt` as the `tokenizer.json` that gives the same ids: a byte-level BPE. How text is cut into
 * words goes by the class that tokenizer_config.json names. UserError for a class that is not known.
 */
export function mergesTokenizer(vocab: JsonObject, merges: string, config: JsonObject, where: string): JsonObject {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: config.add_prefix_space === true };
  const { tokenizer_class: named = 'GPT2Tokenizer' } = config;
  const name = typeof named === 'string' ? named.replace(/Fast$/, '') : '';
  if (!Object.hasOwn(wordsOf, name))
    throw new UserError(
      `${where}: tokenizer_class is ${shownValue(named)}, and without tokenizer.json only ${Object.keys(wordsOf).join(', ')} are read`,
      { hint: 'save the tokenizer as tokenizer.json with transformers' },
    );
  const tokens = ['unk_token', 'bos_token', 'eos_token', 'pad_token'].map((key) => {
    const token = config[key];
    return typeof token === 'string' ? token : ((token as JsonObject | null | undefined)?.content ?? undefined);
  });
  const special = [...new Set(['<|endoftext|>', ...tokens])].filter(
    (token): token is string => typeof token === 'string' && Object.hasOwn(vocab, token),
  );
  return {
    added_tokens: special.map((content) => ({ id: vocab[content], content, special: true, normalized: false })),
    ...wordsOf[name](byteLevel),
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges: mergeLines(merges) },
  };
}

type Words = { readonly normalizer: JsonObject | null; readonly pre_tokenizer: JsonObject };

const gpt2 = (byteLevel: JsonObject): Words => ({ normalizer: null, pre_tokenizer: byteLevel });

const wordsOf: Readonly<Record<string, (byteLevel: JsonObject) => Words>> = {
  GPT2Tokenizer: gpt2,
  PreTrainedTokenizer: gpt2,
  Qwen2Tokenizer: (byteLevel) => ({
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: qwen2 }, behavior: 'Isolated', invert: false },
        { ...byteLevel, use_regex: false },
      ],
    },
  }),
};

const mergeLines = (text: string): string[] =>
  text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#version'));
