import { UserError, shownValue } from '../../engine/index.js';
import { fileSystem } from '../files/index.js';
import { ChatTemplate, type ChatMessage, type ChatTemplateOptions } from './chatTemplate.js';
import { withinDeadline } from './deadline.js';
import { encoderOf, hasPatterns } from './encoder.js';
import { Tokenizer as LibraryTokenizer } from './library.js';
import { contentOf, readTokenizerFiles, type TokenizerFiles } from './tokenizerFiles.js';

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
  /** The Jinja template that is meant where none is named, as the folder has it. */
  readonly chatTemplate?: string;
  /**
   * The text of a chat as the chat template makes it; it brings the special tokens that the model wants, so it is encoded
   * without more. UserError where there is no template, or where it refuses the chat.
   */
  applyChatTemplate(messages: readonly ChatMessage[], o?: ChatTemplateOptions): string;
}

/**
 * Loads `tokenizer.json`, or a SentencePiece `tokenizer.model`, or `vocab.json` and `merges.txt`, and what belongs to it.
 * UserError when there is none, or one of a kind that is not supported.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const files = await readTokenizerFiles(folder);
  if (files) return createTokenizer(files);
  if (!(await fileSystem.stat(folder).catch(() => undefined))) throw new UserError(`there is no folder ${folder}`);
  throw new UserError(`${folder} has no tokenizer.json, no tokenizer.model, and no vocab.json with merges.txt`, {
    hint: 'copy them from the original model',
  });
}

/** The tokenizer that files describe. */
export function createTokenizer({ path, tokenizer, config, templates, generation, model }: TokenizerFiles): Tokenizer {
  const { normalizer, pre_tokenizer, decoder } = tokenizer;
  // Only patterns of the file can run away, and watching costs a tenth of a millisecond a call.
  const watch = hasPatterns([normalizer, pre_tokenizer, decoder]);
  const watched = <T>(length: number, run: () => T): T =>
    watch ? withinDeadline(`the tokenizer of ${path}`, length, run) : run();
  const { inner, encode } = watched(0, () => {
    try {
      const library = new LibraryTokenizer(tokenizer, config);
      return { inner: library, encode: encoderOf(tokenizer, library) };
    } catch (error) {
      throw new UserError(`${path} is not a tokenizer that can be used: ${(error as Error).message}`, { cause: error });
    }
  });
  const { model: vocabulary, post_processor: ends } = inner;
  const idOf = (token: string): number | undefined => vocabulary.tokens_to_ids.get(token);
  const marker = (which: 'eos' | 'bos'): { token?: string; id?: number; all: number[] } => {
    const key = `${which}_token_id`;
    const configured = [generation, model].map((o) => idsOf(o?.[key], key, path)).find((ids) => ids.length) ?? [];
    const token = contentOf(config[`${which}_token`]);
    const id = token === undefined ? undefined : idOf(token);
    if (id !== undefined) return { token, id, all: [...new Set([id, ...configured])] };
    return {
      token: configured.length ? inner.id_to_token(configured[0]) : undefined,
      id: configured[0],
      all: configured,
    };
  };
  const eos = marker('eos');
  const bos = marker('bos');
  const named = Object.entries(config).flatMap(([key, value]) => {
    const content = key.endsWith('_token') ? contentOf(value) : undefined;
    return content === undefined ? [] : [[key, content] as const];
  });
  const chat = new ChatTemplate(templates, Object.fromEntries(named), path);
  return {
    encode: (text, o = {}) => {
      const tokens = text === '' ? [] : watched(text.length, () => encode(text));
      const whole = o.addSpecialTokens && ends ? ends(tokens, null, true).tokens : tokens;
      return whole.flatMap((token) => idOf(token) ?? vocabulary.unk_token_id ?? []);
    },
    decode: (ids, o = {}) => {
      const known = Array.from(ids).filter((id) => inner.id_to_token(id) !== undefined);
      // The default of transformers: text comes back as it was unless the tokenizer itself says otherwise.
      const clean = config.clean_up_tokenization_spaces === true;
      return known.length
        ? watched(known.length, () =>
            inner.decode(known, {
              skip_special_tokens: o.skipSpecialTokens ?? false,
              clean_up_tokenization_spaces: clean,
            }),
          )
        : '';
    },
    tokenOf: (id) => inner.id_to_token(id),
    idOf,
    eosToken: eos.token,
    eosId: eos.id,
    bosToken: bos.token,
    bosId: bos.id,
    stopIds: eos.all,
    vocabularySize: vocabulary.vocab.length,
    chatTemplate: templates.default,
    applyChatTemplate: (messages, o) => chat.apply(messages, o),
  };
}

/** An id is written as a number or as a list of them; a negative one means none. */
function idsOf(value: unknown, key: string, path: string): number[] {
  const ids: unknown[] = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
  const wrong = ids.find((id) => !Number.isInteger(id));
  if (wrong !== undefined)
    throw new UserError(`the config beside ${path}: ${key} must be a whole number, found ${shownValue(wrong)}`);
  return (ids as number[]).filter((id) => id >= 0);
}
