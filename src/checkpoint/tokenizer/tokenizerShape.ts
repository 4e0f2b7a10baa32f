import { UserError, shownValue } from '../../engine/index.js';
import { isJsonObject, type JsonObject } from '../jsonFile.js';

/** Throws where a value is not of a kind; `key` says where it stands. */
type Kind = (value: unknown, key: string) => void;

/** Steps may hold steps, but nobody nests them like this. */
const deepest = 32;

const fail = (key: string, expected: string, found: unknown): never => {
  throw new UserError(`${key} must be ${expected}, found ${found === undefined ? 'nothing' : shownValue(found)}`);
};
const text: Kind = (value, key) => void (typeof value === 'string' || fail(key, 'a string', value));
const flag: Kind = (value, key) => void (typeof value === 'boolean' || fail(key, 'true or false', value));
const whole: Kind = (value, key) =>
  void ((Number.isInteger(value) && (value as number) >= 0) || fail(key, 'a whole number of at least 0', value));
const count: Kind = (value, key) =>
  void ((Number.isInteger(value) && (value as number) > 0) || fail(key, 'a whole number of at least 1', value));
const object: Kind = (value, key) => void (isJsonObject(value) || fail(key, 'an object', value));
const absent =
  (kind: Kind): Kind =>
  (value, key) =>
    value === undefined || value === null || kind(value, key);
const one =
  (...values: string[]): Kind =>
  (value, key) =>
    void (values.includes(value as string) || fail(key, values.join(', '), value));
const list =
  (kind: Kind): Kind =>
  (value, key) =>
    Array.isArray(value) ? value.forEach((item: unknown, i) => kind(item, `${key}[${i}]`)) : fail(key, 'a list', value);
const fields =
  (kinds: Readonly<Record<string, Kind>>): Kind =>
  (value, key) => {
    object(value, key);
    for (const [name, kind] of Object.entries(kinds)) kind((value as JsonObject)[name], `${key}.${name}`);
  };

type Steps = Readonly<Record<string, Readonly<Record<string, Kind>>>>;

/** A step of a kind that is known, with the fields that it needs; `Sequence` holds more of them under `inside`. */
function step(what: string, known: Steps, inside: string): Kind {
  return function check(value, key) {
    object(value, key);
    const { type } = value as JsonObject;
    if (type === 'Sequence') {
      list(check)((value as JsonObject)[inside], `${key}.${inside}`);
      return;
    }
    if (typeof type !== 'string' || !Object.hasOwn(known, type))
      throw new UserError(`${key}.type is ${shownValue(type)}, a ${what} that is not known here`, {
        hint: `known are ${Object.keys(known).join(', ')}`,
      });
    fields(known[type])(value, key);
  };
}

const pattern: Kind = (value, key) => {
  object(value, key);
  const { String: plain, Regex: expression } = value as JsonObject;
  if (typeof plain !== 'string' && typeof expression !== 'string') fail(key, 'a String or a Regex', value);
};
const behavior = absent(
  (value, key) =>
    void (
      (typeof value === 'string' && /^(removed|isolated|mergedwithprevious|mergedwithnext|contiguous)$/i.test(value)) ||
      fail(key, 'Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous', value)
    ),
);

const normalizer = step(
  'normalizer',
  {
    NFC: {},
    NFD: {},
    NFKC: {},
    NFKD: {},
    Lowercase: {},
    StripAccents: {},
    Strip: { strip_left: absent(flag), strip_right: absent(flag) },
    Prepend: { prepend: text },
    Replace: { pattern, content: text },
    Precompiled: { precompiled_charsmap: absent(text) },
    BertNormalizer: {},
  },
  'normalizers',
);

const preTokenizer = step(
  'pre-tokenizer',
  {
    ByteLevel: { add_prefix_space: absent(flag), use_regex: absent(flag) },
    Metaspace: {
      replacement: absent(text),
      prepend_scheme: absent(one('always', 'first', 'never')),
      split: absent(flag),
      add_prefix_space: absent(flag),
    },
    Split: { pattern, behavior, invert: absent(flag) },
    Digits: { individual_digits: absent(flag) },
    Punctuation: { behavior },
    Whitespace: {},
    WhitespaceSplit: {},
    BertPreTokenizer: {},
    FixedLength: { length: absent(count) },
  },
  'pretokenizers',
);

/** Special tokens and `texts`, of which one alone is A, and the second of two B. */
const template = (...texts: string[]): Kind =>
  list((value, key) => {
    object(value, key);
    const { SpecialToken: special, Sequence: sequence } = value as JsonObject;
    if (sequence !== undefined) fields({ id: one(...texts) })(sequence, `${key}.Sequence`);
    else fields({ id: text })(special, `${key}.SpecialToken`);
  });
const ends: Kind = (value, key) => {
  list((item, at) => void (typeof item === 'string' || whole(item, at)))(value, key);
  text((value as unknown[])[0], `${key}[0]`);
};
const postProcessor = step(
  'post-processor',
  {
    ByteLevel: {},
    TemplateProcessing: {
      single: template('A'),
      pair: absent(template('A', 'B')),
      special_tokens: absent(object),
    },
    BertProcessing: { sep: ends, cls: ends },
    RobertaProcessing: { sep: ends, cls: ends },
  },
  'processors',
);

const decoder = step(
  'decoder',
  {
    ByteLevel: {},
    ByteFallback: {},
    Fuse: {},
    Metaspace: {
      replacement: absent(text),
      prepend_scheme: absent(one('always', 'first', 'never')),
      add_prefix_space: absent(flag),
    },
    Replace: { pattern, content: text },
    Strip: { content: text, start: absent(whole), stop: absent(whole) },
    WordPiece: { prefix: text, cleanup: absent(flag) },
    BPEDecoder: { suffix: text },
    CTC: { pad_token: text, word_delimiter_token: text, cleanup: absent(flag) },
  },
  'decoders',
);

const addedToken = fields({
  content: text,
  id: whole,
  special: absent(flag),
  normalized: absent(flag),
  single_word: absent(flag),
  lstrip: absent(flag),
  rstrip: absent(flag),
});

const tokenizer = fields({
  added_tokens: absent(list(addedToken)),
  normalizer: absent(normalizer),
  pre_tokenizer: absent(preTokenizer),
  post_processor: absent(postProcessor),
  decoder: absent(decoder),
  model: fields({
    unk_token: absent(text),
    byte_fallback: absent(flag),
    fuse_unk: absent(flag),
    ignore_merges: absent(flag),
    end_of_word_suffix: absent(text),
    // Only WordPiece knows it here.
    continuing_subword_prefix: absent(text),
    max_input_chars_per_word: absent(count),
  }),
});

/** What the library does not say of its models. */
const modelTypes = ['BPE', 'Unigram', 'WordPiece'];

/**
 * A `tokenizer.json` as the rest of this folder may trust it: every part of the shape that it must have, ids whole
 * numbers, the model's type named, absent parts null. UserError that names `where` and the key for anything else, and
 * for ids far beyond the vocabulary: `vocabularySize`, or what the file itself holds.
 */
export function checkedTokenizer(json: JsonObject, where: string, vocabularySize = 0): JsonObject {
  if (isDeeper(json, deepest)) fail(where, `nested at most ${deepest} deep`, json);
  tokenizer(json, where);
  const model = checkedModel(json.model as JsonObject, `${where}.model`);
  const added = (json.added_tokens as JsonObject[] | null | undefined) ?? [];
  checkIds(model, added, where, vocabularySize);
  const { normalizer = null, pre_tokenizer = null, post_processor = null, decoder = null } = json;
  return {
    ...json,
    model,
    added_tokens: added,
    normalizer: literalContents(normalizer),
    pre_tokenizer,
    post_processor,
    decoder: literalContents(decoder),
  };
}

function checkedModel(model: JsonObject, where: string): JsonObject {
  const { vocab } = model;
  // Older files do not say which; then the keys tell.
  const type = model.type ?? (Array.isArray(vocab) ? 'Unigram' : Array.isArray(model.merges) ? 'BPE' : 'WordPiece');
  one(...modelTypes)(type, `${where}.type`);
  if (type === 'Unigram') {
    list((item, key) => {
      if (!Array.isArray(item) || typeof item[0] !== 'string' || !Number.isFinite(item[1]))
        fail(key, 'a token and its score', item);
    })(vocab, `${where}.vocab`);
    whole(model.unk_id, `${where}.unk_id`);
    if ((model.unk_id as number) >= (vocab as unknown[]).length) fail(`${where}.unk_id`, 'a token', model.unk_id);
    return { ...model, type };
  }
  object(vocab, `${where}.vocab`);
  for (const [token, id] of Object.entries(vocab as JsonObject))
    if (!Number.isInteger(id) || (id as number) < 0) whole(id, `${where}.vocab[${shownValue(token)}]`);
  if (type === 'WordPiece') {
    text(model.unk_token, `${where}.unk_token`);
    text(model.continuing_subword_prefix, `${where}.continuing_subword_prefix`);
    return { ...model, type };
  }
  if (model.continuing_subword_prefix)
    fail(`${where}.continuing_subword_prefix`, 'empty in a BPE', model.continuing_subword_prefix);
  return { ...model, type, merges: checkedMerges(model.merges, vocab as JsonObject, where) };
}

/** Pairs; older files write `a b`. Both and what they become must be tokens. */
function checkedMerges(merges: unknown, vocab: JsonObject, where: string): [string, string][] {
  if (!Array.isArray(merges)) return fail(`${where}.merges`, 'a list', merges);
  return merges.map((merge: unknown, i) => {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || pair.some((part) => typeof part !== 'string'))
      return fail(`${where}.merges[${i}]`, 'two tokens', merge);
    const [left, right] = pair as [string, string];
    for (const token of [left, right, left + right])
      if (!Object.hasOwn(vocab, token))
        throw new UserError(`${where}.merges[${i}] names ${shownValue(token)}, which is not in the vocabulary`);
    return [left, right];
  });
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((item) => isDeeper(item, depth - 1));
}

/** No vocabulary has so many tokens, whatever a config says. */
const mostTokens = 1 << 22;

function checkIds(model: JsonObject, added: readonly JsonObject[], where: string, vocabularySize: number): void {
  const vocab = model.vocab as JsonObject | unknown[];
  const listed = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
  const size = Math.max(listed + added.length, Math.min(vocabularySize, mostTokens));
  const limit = 2 * size + 1024;
  const check = (token: string, id: number): void => {
    if (id >= limit)
      throw new UserError(`${where}: the id ${id} of ${shownValue(token)} is far beyond the ${size} tokens there are`);
  };
  if (!Array.isArray(vocab)) for (const [token, id] of Object.entries(vocab)) check(token, id as number);
  for (const { content, id } of added) check(content as string, id as number);
}

/** The library takes `$` in what replaces a pattern for more than a character. */
function literalContents(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(literalContents);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === 'content' && typeof item === 'string' && value.type === 'Replace'
        ? item.replaceAll('$', '$$$$')
        : literalContents(item),
    ]),
  );
}
