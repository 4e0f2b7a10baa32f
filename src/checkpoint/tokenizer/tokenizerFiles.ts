import { UserError, shownValue } from '../../engine/index.js';
import { fileError, systemErrorCode } from '../fileError.js';
import { fileSystem } from '../files/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from '../jsonFile.js';
import { readWhole } from '../readWhole.js';
import { readChatTemplates, type ChatTemplates } from './chatTemplate.js';
import { mergesTokenizer } from './mergesTokenizer.js';
import { readSentencePiece } from './sentencePiece.js';
import { sentencePieceTokenizer } from './sentencePieceTokenizer.js';
import { checkedTokenizer } from './tokenizerShape.js';

/** What a model folder says of its tokenizer, whichever of its files say it. */
export interface TokenizerFiles {
  /** For messages: the file that holds the vocabulary. */
  readonly path: string;
  /** `tokenizer.json`, or what does the same, checked; with the added tokens of all files. */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json, and the special tokens that special_tokens_map.json names beside it. */
  readonly config: JsonObject;
  readonly templates: ChatTemplates;
  /** generation_config.json and config.json. */
  readonly generation: JsonObject | undefined;
  readonly model: JsonObject | undefined;
}

const specialKeys = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** undefined where the folder has no tokenizer. UserError where one of its files is wrong, by its key. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles | undefined> {
  const names = ['tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'config.json'];
  const [own = {}, special = {}, generation, model] = await Promise.all(
    names.map((name) => readJsonObject(fileSystem.join(folder, name))),
  );
  const config: JsonObject = { ...special, ...own };
  for (const key of specialKeys) {
    // A null in tokenizer_config.json does not hide what special_tokens_map.json says.
    const token = (config[key] = own[key] ?? special[key]);
    if (token !== undefined && token !== null && contentOf(token) === undefined)
      throw new UserError(`${folder}/tokenizer_config.json: ${key} must be a token, found ${shownValue(token)}`);
  }
  const vocabulary = await readVocabulary(folder, config);
  if (!vocabulary) return undefined;
  const { path, json, defaults = {} } = vocabulary;
  for (const [key, token] of Object.entries(defaults)) config[key] ??= token;
  const size = typeof model?.vocab_size === 'number' ? model.vocab_size : 0;
  const others = await otherAddedTokens(folder, config);
  const listed = Array.isArray(json.added_tokens) ? (json.added_tokens as unknown[]) : [];
  const tokenizer = checkedTokenizer({ ...json, added_tokens: json.added_tokens ?? [] }, path, size);
  const more = missing(others, listed as JsonObject[], tokenizer.model as JsonObject);
  return {
    path,
    tokenizer: more.length
      ? checkedTokenizer({ ...tokenizer, added_tokens: [...listed, ...more] }, path, size)
      : tokenizer,
    config,
    templates: await readChatTemplates(folder, own),
    generation,
    model,
  };
}

/** A token is written as a string, or as an object with `content`. */
export function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  return isJsonObject(token) && typeof token.content === 'string' ? token.content : undefined;
}

interface Vocabulary {
  readonly path: string;
  readonly json: JsonObject;
  /** Special tokens that the file names, where no other does. */
  readonly defaults?: Readonly<Record<string, string>>;
}

/** `tokenizer.json`, a SentencePiece model, or `vocab.json` and `merges.txt`: the first that is there. */
async function readVocabulary(folder: string, config: JsonObject): Promise<Vocabulary | undefined> {
  const path = fileSystem.join(folder, 'tokenizer.json');
  const json = await readJsonObject(path);
  if (json) return { path, json };
  const pieces = fileSystem.join(folder, 'tokenizer.model');
  const bytes = await readIfPresent(pieces);
  if (bytes) {
    const model = readSentencePiece(bytes, pieces);
    const tokenOf = (id: number): string[] => (model.pieces[id] ? [model.pieces[id].text] : []);
    const [[bos_token], [eos_token], [unk_token]] = [model.bosId, model.eosId, model.unknownId].map(tokenOf);
    return { path: pieces, json: sentencePieceTokenizer(model, config), defaults: { bos_token, eos_token, unk_token } };
  }
  const vocab = await readJsonObject(fileSystem.join(folder, 'vocab.json'));
  const merges = await readIfPresent(fileSystem.join(folder, 'merges.txt'));
  if (!vocab || !merges) return undefined;
  const text = new TextDecoder().decode(merges);
  return { path: fileSystem.join(folder, 'vocab.json'), json: mergesTokenizer(vocab, text, config, folder) };
}

/** Added tokens that stand beside the vocabulary, as `tokenizer.json` would write them, later files over earlier ones. */
async function otherAddedTokens(folder: string, config: JsonObject): Promise<JsonObject[]> {
  const path = fileSystem.join(folder, 'added_tokens.json');
  const special = new Set(specialKeys.map((key) => contentOf(config[key])));
  for (const token of Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [])
    special.add(contentOf(token));
  const tokens = new Map<string, JsonObject>();
  for (const [content, id] of Object.entries((await readJsonObject(path)) ?? {})) {
    if (!Number.isInteger(id) || (id as number) < 0)
      throw new UserError(
        `${path}: ${shownValue(content)} must have a whole number as its id, found ${shownValue(id)}`,
      );
    tokens.set(content, { content, id, special: special.has(content), normalized: false });
  }
  const key = `${folder}/tokenizer_config.json: added_tokens_decoder`;
  const decoder = config.added_tokens_decoder ?? {};
  if (!isJsonObject(decoder))
    throw new UserError(`${key} must be an object of tokens by id, found ${shownValue(decoder)}`);
  for (const [id, token] of Object.entries(decoder)) {
    const content = contentOf(token);
    if (content === undefined || !/^\d{1,15}$/.test(id))
      throw new UserError(`${key} must name tokens by their ids, found ${shownValue({ [id]: token })}`);
    tokens.set(content, {
      ...(isJsonObject(token) ? token : { special: special.has(content) }),
      content,
      id: Number(id),
    });
  }
  return [...tokens.values()];
}

/** Those that are not in the list yet. One that the vocabulary has keeps the id that it has there. */
function missing(tokens: readonly JsonObject[], listed: readonly JsonObject[], { vocab }: JsonObject): JsonObject[] {
  const known = new Set(listed.map(({ content }) => content));
  const ids = new Map(
    Array.isArray(vocab)
      ? (vocab as [string, number][]).map(([token], id) => [token, id])
      : Object.entries(vocab as Record<string, number>),
  );
  return tokens
    .filter(({ content }) => !known.has(content))
    .map((token) => ({ ...token, id: ids.get(token.content as string) ?? token.id }));
}

async function readIfPresent(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readWhole(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'cannot read', path);
  }
}
