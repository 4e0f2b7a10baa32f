import { UserError, shownValue } from '../../engine/index.js';
import type { JsonObject } from '../jsonFile.js';

import {
  checkedTokenizer,
  namedSplits,
  pieceTypes,
  sentencePieceTokenizer,
  splitJson,
  type ChatTemplates,
  type SentencePieceModel,
  type TokenizerFiles,
} from '../tokenizer/index.js';
import type { GgufFile } from './ggufFile.js';

/**
 * The tokenizer that a GGUF file's own keys describe, as the files of a folder that give the same ids (docs/formats.md,
 * 'GGUF tokenizer'); undefined where it has none. UserError for a kind that is not known here.
 */
export function ggufTokenizerFiles(file: Pick<GgufFile, 'path' | 'metadata'>): TokenizerFiles | undefined {
  const keys = new TokenizerKeys(file);
  const kind = keys.value('model');
  if (kind === undefined || kind === 'none' || kind === 'no_vocab') return undefined;
  const tokens = keys.tokens();
  const described = typeof kind === 'string' && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (!described)
    throw new UserError(`${file.path}: tokenizers of the kind ${shownValue(kind)} are not read`, {
      hint: 'llama (SentencePiece) and gpt2 (byte-level BPE) are',
    });
  const config = specialTokens(keys, tokens, described.ids);
  const ends = stopIds(keys, tokens);
  return {
    path: file.path,
    tokenizer: checkedTokenizer(described.json(keys, tokens, config), file.path, tokens.text.length),
    config: { tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false, ...config },
    templates: templates(file.metadata),
    generation: { ...(ends.length ? { eos_token_id: ends } : {}) },
    model: undefined,
  };
}

interface Tokens {
  readonly text: readonly string[];
  /** Of `pieceTypes`. */
  readonly types: readonly number[];
}

/** Reads `tokenizer.ggml.*`, naming file and key in what it throws. */
class TokenizerKeys {
  constructor(private readonly file: Pick<GgufFile, 'path' | 'metadata'>) {}

  value(key: string): unknown {
    return this.file.metadata[`tokenizer.ggml.${key}`];
  }

  fail(key: string, expected: string, found: unknown): never {
    throw new UserError(
      `${this.file.path}: tokenizer.ggml.${key} must be ${expected}, found ${found === undefined ? 'nothing' : shownValue(found)}`,
    );
  }

  strings(key: string, count?: number): readonly string[] | undefined {
    return this.#list(key, 'string', count) as readonly string[] | undefined;
  }

  numbers(key: string, count?: number): readonly number[] | undefined {
    return this.#list(key, 'number', count) as readonly number[] | undefined;
  }

  /** A list of `count` values of a kind; undefined where it is absent. */
  #list(key: string, kind: 'string' | 'number', count?: number): readonly unknown[] | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.some((item) => typeof item !== kind))
      this.fail(key, `a list of ${kind}s`, value);
    if (count !== undefined && value.length !== count)
      this.fail(key, `${count} ${kind}s, one a token`, `${value.length}`);
    return value as unknown[];
  }

  tokens(): Tokens {
    const text = this.strings('tokens') ?? this.fail('tokens', 'a list of strings', undefined);
    const types = this.numbers('token_type', text.length) ?? text.map(() => pieceTypes.normal);
    return { text, types };
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    return typeof value === 'boolean' ? value : this.fail(key, 'true or false', value);
  }

  /** The token of an id that a key names. */
  token(key: string, { text }: Tokens, fallback?: number): string | undefined {
    const id = this.value(`${key}_token_id`) ?? fallback;
    // Some files name ids that mean none, such as 2^32 - 1.
    return id === undefined ? undefined : text[id as number];
  }
}

interface Kind {
  /** Special tokens where the file does not name them. */
  readonly ids: Readonly<Partial<Record<'bos' | 'eos' | 'unknown' | 'padding', number>>>;
  json(keys: TokenizerKeys, tokens: Tokens, config: JsonObject): JsonObject;
}

const kinds: Readonly<Record<string, Kind>> = {
  llama: { ids: { bos: 1, eos: 2, unknown: 0 }, json: pieces },
  gpt2: { ids: {}, json: byteLevel },
};

/** As tokenizer_config.json names them. */
function specialTokens(keys: TokenizerKeys, tokens: Tokens, ids: Kind['ids']): JsonObject {
  const named = {
    bos_token: keys.token('bos', tokens, ids.bos),
    eos_token: keys.token('eos', tokens, ids.eos),
    unk_token: keys.token('unknown', tokens, ids.unknown),
    pad_token: keys.token('padding', tokens, ids.padding),
  };
  return Object.fromEntries(Object.entries(named).filter(([, token]) => token !== undefined));
}

/** Texts that end an answer, whatever the keys say. */
const endings = ['<end_of_turn>', '<|im_end|>', '<|eot_id|>', '<|end|>', '<|endoftext|>'];

function stopIds(keys: TokenizerKeys, { text }: Tokens): number[] {
  const named = ['eos', 'eot', 'eom'].map((key) => keys.value(`${key}_token_id`));
  const known = endings.map((ending) => text.indexOf(ending));
  const ids = [...named, ...known].filter((id) => typeof id === 'number' && id >= 0 && id < text.length) as number[];
  return [...new Set(ids)];
}

/** SentencePiece's BPE: pieces with scores, and bytes for what is none. */
function pieces(keys: TokenizerKeys, { text, types }: Tokens, config: JsonObject): JsonObject {
  const scores = keys.numbers('scores', text.length) ?? keys.fail('scores', 'a list of numbers', undefined);
  const unknown = types.indexOf(pieceTypes.unknown);
  const model: SentencePieceModel = {
    kind: 'bpe',
    // Tokens that users define are stored with real spaces.
    pieces: text.map((token, id) => ({
      text: types[id] === pieceTypes.userDefined ? token.replaceAll(' ', '▁') : token,
      score: scores[id],
      type: types[id],
    })),
    unknownId: unknown < 0 ? Number(keys.value('unknown_token_id') ?? 0) : unknown,
    bosId: Number(keys.value('bos_token_id') ?? 1),
    eosId: Number(keys.value('eos_token_id') ?? 2),
    characterMap: characterMap(keys),
    byteFallback: types.includes(pieceTypes.byte),
    addDummyPrefix: keys.flag('add_space_prefix', true),
    removeExtraWhitespaces: keys.flag('remove_extra_whitespaces', false),
  };
  const adds = {
    add_bos_token: keys.flag('add_bos_token', true),
    add_eos_token: keys.flag('add_eos_token', false),
  };
  return sentencePieceTokenizer(model, { ...config, ...adds });
}

function characterMap(keys: TokenizerKeys): Uint8Array | undefined {
  const map = keys.numbers('precompiled_charsmap');
  return map?.length ? Uint8Array.from(map) : undefined;
}

/** GPT-2's BPE of bytes: merges by rank within words. */
function byteLevel(keys: TokenizerKeys, { text, types }: Tokens, config: JsonObject): JsonObject {
  const pre = keys.value('pre') ?? 'default';
  if (typeof pre !== 'string' || !Object.hasOwn(namedSplits, pre))
    keys.fail('pre', 'a pre-tokenizer that is known here', pre);
  const split = namedSplits[pre as string];
  const merges = keys.strings('merges') ?? keys.fail('merges', 'a list of strings', undefined);
  const isAdded = (id: number): boolean => types[id] === pieceTypes.control || types[id] === pieceTypes.userDefined;
  const ids = text.map((_, id) => id);
  const ends = {
    before: keys.flag('add_bos_token', split.addsBos ?? false) ? config.bos_token : undefined,
    behind: keys.flag('add_eos_token', false) ? config.eos_token : undefined,
  };
  return {
    added_tokens: ids.filter(isAdded).map((id) => ({
      id,
      content: text[id],
      special: types[id] === pieceTypes.control,
      normalized: false,
    })),
    normalizer: split.normalizer ? { type: split.normalizer } : null,
    pre_tokenizer: splitJson(split),
    post_processor: addedEnds(ends),
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      ignore_merges: split.ignoresMerges ?? false,
      // What is unused fills the vocabulary up.
      vocab: Object.fromEntries(ids.filter((id) => types[id] !== pieceTypes.unused).map((id) => [text[id], id])),
      merges: merges.map(mergeOf),
    },
  };
}

/** `a b`: at the first space behind the first character, since a token may begin with one. */
function mergeOf(merge: string): [string, string] {
  const at = merge.indexOf(' ', 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function addedEnds({ before, behind }: { readonly before: unknown; readonly behind: unknown }): JsonObject | null {
  const special = (token: unknown): JsonObject[] =>
    typeof token === 'string' ? [{ SpecialToken: { id: token, type_id: 0 } }] : [];
  const single = [...special(before), { Sequence: { id: 'A', type_id: 0 } }, ...special(behind)];
  return single.length > 1 ? { type: 'TemplateProcessing', single } : null;
}

/** llama.cpp's names of the templates beside the default one. */
function templates(metadata: GgufFile['metadata']): ChatTemplates {
  const prefix = 'tokenizer.chat_template';
  return Object.fromEntries(
    Object.entries(metadata).flatMap(([key, value]) => {
      if (typeof value !== 'string' || (key !== prefix && !key.startsWith(`${prefix}.`))) return [];
      return [[key === prefix ? 'default' : key.slice(prefix.length + 1), value] as const];
    }),
  );
}
