import { UserError, shownValue } from '../engine/index.js';
import {
  bool,
  createTokenizer,
  f32s,
  i32s,
  pieceTypes as tokenTypes,
  splitName,
  string,
  strings,
  u32,
  type ChatTemplates,
  type GgufMetadata,
  type JsonObject,
  type ModelSource,
  type TokenizerFiles,
} from '../checkpoint/index.js';
import type { ModelConfig } from '../models/index.js';
import { addedTokens, flagNotes, normalizerNotes, stepsOf, templateNotes } from './ggufTokenizerNotes.js';

export interface GgufTokenizer {
  readonly metadata: GgufMetadata;
  readonly notes: readonly string[];
}

/**
 * The tokenizer of a model as llama.cpp wants it (docs/formats.md, 'GGUF tokenizer'): a byte-level BPE as
 * `gpt2`, a SentencePiece-like one as `llama`.
 */
export async function ggufTokenizer(
  source: Pick<ModelSource, 'folder' | 'tokenizerFiles'>,
  config: ModelConfig,
): Promise<GgufTokenizer> {
  const files = await source.tokenizerFiles();
  if (!files)
    return {
      metadata: { 'tokenizer.ggml.model': string('none') },
      notes: [`${source.folder} has no tokenizer, so the file takes token ids only`],
    };
  const { tokenizer, path, templates } = files;
  const model = tokenizer.model as JsonObject;
  if (model.type !== 'BPE')
    throw new UserError(`${path} is a ${String(model.type)} tokenizer, and only BPE ones are written to GGUF`);
  const merges = model.merges as [string, string][];
  const tokens = tokensOf(tokenizer, model.vocab as Record<string, number>, config.vocabSize, path);
  const { metadata, notes } =
    model.byte_fallback === true || model.scores
      ? sentencePiece(tokenizer, tokens, merges)
      : byteLevel(tokenizer, tokens, merges);
  return {
    metadata: { ...metadata, ...specialTokens(files, config), ...templateKeys(templates) },
    notes: [...notes, ...flagNotes(tokenizer), ...templateNotes(templates)],
  };
}

/** llama.cpp's names of the templates beside the default one. */
function templateKeys(templates: ChatTemplates): GgufMetadata {
  const names = Object.keys(templates).filter((name) => name !== 'default');
  return {
    ...(templates.default === undefined ? {} : { 'tokenizer.chat_template': string(templates.default) }),
    ...(names.length ? { 'tokenizer.chat_templates': strings(names) } : {}),
    ...Object.fromEntries(names.map((name) => [`tokenizer.chat_template.${name}`, string(templates[name])])),
  };
}

interface Tokens {
  readonly text: string[];
  readonly types: Int32Array;
}

/** As many as the model's vocabulary has; ids without a token are unused ones. */
function tokensOf(tokenizer: JsonObject, vocab: Record<string, number>, size: number, where: string): Tokens {
  const text = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(size).fill(tokenTypes.unused);
  const place = (token: string, id: number, type: number): void => {
    if (!Number.isInteger(id) || id < 0 || id >= size)
      throw new UserError(
        `${where}: token ${shownValue(token)} has the id ${id}, but config.json has a vocab_size of ${size}`,
      );
    text[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(vocab)) place(token, id, tokenTypes.normal);
  for (const { content, id, special } of addedTokens(tokenizer))
    place(content, id, special ? tokenTypes.control : tokenTypes.userDefined);
  return { text, types };
}

function byteLevel(tokenizer: JsonObject, { text, types }: Tokens, merges: readonly [string, string][]): GgufTokenizer {
  const pre = splitName(tokenizer.pre_tokenizer as JsonObject | null);
  return {
    metadata: {
      'tokenizer.ggml.model': string('gpt2'),
      'tokenizer.ggml.pre': string(pre ?? 'default'),
      'tokenizer.ggml.tokens': strings(text),
      'tokenizer.ggml.token_type': i32s(types),
      'tokenizer.ggml.merges': strings(merges.map((pair) => pair.join(' '))),
    },
    notes: [
      ...(pre
        ? []
        : ['llama.cpp knows no name for how this tokenizer cuts text into words: tokens of some texts may differ']),
      ...normalizerNotes(tokenizer.normalizer as JsonObject | null, false),
    ],
  };
}

/** A BPE of a SentencePiece model. */
interface ScoredModel extends JsonObject {
  readonly scores?: readonly (number | null)[];
  readonly unused?: readonly string[];
}

/**
 * llama.cpp joins the pair whose joined piece has the highest score, which a SentencePiece model has. They are gone from
 * a tokenizer.json, but its merges were sorted by them, so minus a piece's first rank orders pieces the same.
 */
function sentencePiece(
  tokenizer: JsonObject,
  { text, types }: Tokens,
  merges: readonly [string, string][],
): GgufTokenizer {
  const ranks = new Map<string, number>();
  for (const [rank, [left, right]] of merges.entries()) if (!ranks.has(left + right)) ranks.set(left + right, rank);
  const { unk_token: unknown, scores, unused } = tokenizer.model as ScoredModel;
  const unusedPieces = new Set(unused);
  const score = (token: string, id: number): number =>
    scores ? (scores[id] ?? 0) : -(ranks.get(token) ?? (token.length > 1 ? merges.length : 0));
  for (const [id, token] of text.entries()) {
    if (token === unknown) types[id] = tokenTypes.unknown;
    else if (/^<0x[0-9A-F]{2}>$/.test(token)) types[id] = tokenTypes.byte;
    else if (unusedPieces.has(token)) types[id] = tokenTypes.unused;
  }
  return {
    metadata: {
      'tokenizer.ggml.model': string('llama'),
      'tokenizer.ggml.pre': string('default'),
      'tokenizer.ggml.tokens': strings(
        text.map((token, id) => (types[id] === tokenTypes.userDefined ? token.replaceAll('▁', ' ') : token)),
      ),
      'tokenizer.ggml.scores': f32s(text.map(score)),
      'tokenizer.ggml.token_type': i32s(types),
      'tokenizer.ggml.add_space_prefix': bool(prependsSpace(tokenizer)),
    },
    notes: normalizerNotes(tokenizer.normalizer as JsonObject | null, true),
  };
}

function prependsSpace({ normalizer, pre_tokenizer: pre }: JsonObject): boolean {
  return (
    stepsOf(normalizer, 'normalizers').some(({ type }) => type === 'Prepend') ||
    stepsOf(pre, 'pretokenizers').some(
      (step) => step.type === 'Metaspace' && (step.prepend_scheme ?? 'always') !== 'never',
    )
  );
}

function specialTokens(files: TokenizerFiles, config: ModelConfig): GgufMetadata {
  const known = createTokenizer(files);
  const id = (key: 'unk_token' | 'pad_token'): number | undefined => {
    const token = files.config[key] as string | { content?: string } | null | undefined;
    const text = typeof token === 'string' ? token : token?.content;
    return text === undefined ? undefined : known.idOf(text);
  };
  const ids = {
    bos: known.bosId ?? config.bosTokenId,
    eos: known.eosId ?? config.eosTokenIds[0],
    unknown: id('unk_token'),
    padding: id('pad_token'),
  };
  const adds = templateEnds(files.tokenizer.post_processor as JsonObject | null | undefined);
  return {
    ...Object.fromEntries(
      Object.entries(ids).flatMap(([name, value]) =>
        value === undefined ? [] : [[`tokenizer.ggml.${name}_token_id`, u32(value)]],
      ),
    ),
    'tokenizer.ggml.add_bos_token': bool(adds.first !== undefined && adds.first === known.bosToken),
    'tokenizer.ggml.add_eos_token': bool(adds.last !== undefined && adds.last === known.eosToken),
  };
}

/** The special tokens that the tokenizer itself puts before and behind a text. */
function templateEnds(post: JsonObject | null | undefined): { first?: string; last?: string } {
  if (post?.type === 'Sequence')
    return (
      (post.processors as JsonObject[])
        .map(templateEnds)
        .find(({ first, last }) => first !== undefined || last !== undefined) ?? {}
    );
  if (post?.type !== 'TemplateProcessing') return {};
  const special = (item: unknown): string | undefined =>
    (item as { SpecialToken?: { id: string } } | undefined)?.SpecialToken?.id;
  const single = post.single as unknown[];
  return { first: special(single[0]), last: special(single.at(-1)) };
}
