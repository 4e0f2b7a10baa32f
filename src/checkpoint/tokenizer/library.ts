import * as library from '@huggingface/tokenizers';
import type { JsonObject } from '../jsonFile.js';

/** What is used of `@huggingface/tokenizers`, whose own types cannot be resolved from an ES module. */
export interface LibraryTokenizer {
  readonly normalizer: LibraryNormalizer | null;
  readonly model: LibraryModel;
  readonly post_processor: ((tokens: string[], pair: null, addSpecialTokens: boolean) => { tokens: string[] }) | null;
  decode(ids: number[], o: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  id_to_token(id: number): string | undefined;
}

export interface LibraryNormalizer {
  normalize(text: string): string;
  /** Of a sequence: its steps. */
  readonly normalizers: readonly LibraryNormalizer[];
}

export interface LibraryModel {
  (words: readonly string[]): string[];
  readonly vocab: readonly string[];
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  readonly unk_token_id?: number;
  /** Of a BPE: joins the characters of a word. */
  bpe(word: string): string[];
  /** Of a Unigram: the best way through a word. */
  tokenize(word: string): string[];
}

interface LibraryPreTokenizer {
  readonly pattern: RegExp;
  pre_tokenize_text(text: string): string[];
}

export const { Tokenizer, SplitPreTokenizer, ByteLevelPreTokenizer, BertPreTokenizer } = library as unknown as {
  Tokenizer: new (tokenizer: JsonObject, config: JsonObject) => LibraryTokenizer;
  SplitPreTokenizer: new (json: JsonObject) => LibraryPreTokenizer;
  ByteLevelPreTokenizer: new (json: JsonObject) => LibraryPreTokenizer;
  BertPreTokenizer: new () => LibraryPreTokenizer;
};
