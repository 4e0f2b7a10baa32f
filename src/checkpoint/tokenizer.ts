import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../engine/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from './jsonFile.js';

/** Text to token ids and back. */
export interface Tokenizer {
  /** No special tokens (BOS, EOS) are added unless asked for; ones spelled out in the text become their single ids. */
  encode(text: string, o?: { addSpecialTokens?: boolean }): number[];
  /** Ids without a token (padding of the vocabulary) give no text. Special tokens are kept unless asked otherwise. */
  decode(ids: ArrayLike<number>, o?: { skipSpecialTokens?: boolean }): string;
  /** undefined for ids outside the vocabulary, or for a text that is not one token. */
  tokenOf(id: number): string | undefined;
  idOf(token: string): number | undefined;
  readonly eosToken?: string;
  readonly eosId?: number;
  readonly bosToken?: string;
  readonly bosId?: number;
  /** Every id that ends a generation: EOS and those of generation_config.json or, without any there, config.json. */
  readonly stopIds: readonly number[];
  /** The highest id and one; a model's own vocabulary may be padded beyond it. */
  readonly vocabularySize: number;
  /** A Jinja template, as the folder has it. */
  readonly chatTemplate?: string;
}

/** Loads `tokenizer.json` and what belongs to it. UserError when it is absent or of a kind that is not supported. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const read = (name: string): Promise<JsonObject | undefined> => readJsonObject(join(folder, name));
  const [tokenizer, own, special, generation, model] = await Promise.all(
    ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'config.json'].map(
      read,
    ),
  );
  if (!tokenizer) {
    if (!(await stat(folder).catch(() => undefined))) throw new UserError(`there is no folder ${folder}`);
    const hint = (await stat(join(folder, 'tokenizer.model')).catch(() => undefined))
      ? 'its tokenizer.model is not read; save the tokenizer as a fast one with transformers'
      : 'copy it from the original model';
    throw new UserError(`${folder} has no tokenizer.json`, { hint });
  }
  const template =
    own?.chat_template ?? (await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(() => undefined));
  const named = { ...special, ...own };
  // A null in tokenizer_config.json does not hide what special_tokens_map.json says.
  for (const key of ['eos_token', 'bos_token']) named[key] = own?.[key] ?? special?.[key];
  return createTokenizer(join(folder, 'tokenizer.json'), tokenizer, named, { generation, model, template });
}

function createTokenizer(
  path: string,
  tokenizer: JsonObject,
  config: JsonObject,
  other: { generation?: JsonObject; model?: JsonObject; template: unknown },
): Tokenizer {
  let inner: HuggingFaceTokenizer;
  try {
    inner = new HuggingFaceTokenizer(tokenizer, config);
  } catch (error) {
    throw new UserError(`${path} is not a tokenizer that can be used: ${(error as Error).message}`, { cause: error });
  }
  let vocabularySize = 0;
  for (const id of inner.get_vocab(true).values()) vocabularySize = Math.max(vocabularySize, id + 1);
  const marker = (which: 'eos' | 'bos'): { token?: string; id?: number; all: number[] } => {
    const configured =
      [other.generation, other.model].map((o) => idsOf(o?.[`${which}_token_id`])).find((ids) => ids.length) ?? [];
    const token = contentOf(config[`${which}_token`]);
    const id = token === undefined ? undefined : inner.token_to_id(token);
    if (id !== undefined) return { token, id, all: [...new Set([id, ...configured])] };
    return {
      token: configured.length ? inner.id_to_token(configured[0]) : undefined,
      id: configured[0],
      all: configured,
    };
  };
  const eos = marker('eos');
  const bos = marker('bos');
  return {
    encode: (text, o = {}) =>
      text === '' && !o.addSpecialTokens
        ? []
        : inner
            .encode(text, { add_special_tokens: o.addSpecialTokens ?? false })
            .ids.filter((id: number | undefined) => id !== undefined),
    decode: (ids, o = {}) => {
      const known = Array.from(ids).filter((id) => inner.id_to_token(id) !== undefined);
      // The default of transformers: text comes back as it was unless the tokenizer itself says otherwise.
      const clean = config.clean_up_tokenization_spaces === true;
      return known.length
        ? inner.decode(known, {
            skip_special_tokens: o.skipSpecialTokens ?? false,
            clean_up_tokenization_spaces: clean,
          })
        : '';
    },
    tokenOf: (id) => inner.id_to_token(id),
    idOf: (token) => inner.token_to_id(token),
    eosToken: eos.token,
    eosId: eos.id,
    bosToken: bos.token,
    bosId: bos.id,
    stopIds: eos.all,
    vocabularySize,
    chatTemplate: typeof other.template === 'string' ? other.template : undefined,
  };
}

/** A token is written as a string, or as an object with `content`. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  return isJsonObject(token) && typeof token.content === 'string' ? token.content : undefined;
}

/** An id is written as a number or as a list of them. */
function idsOf(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id));
}
