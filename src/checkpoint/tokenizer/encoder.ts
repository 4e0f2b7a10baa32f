import { isJsonObject, type JsonObject } from '../jsonFile.js';
import { AddedTokenSplitter, addedTokenOf } from './addedTokens.js';
import type { LibraryTokenizer } from './library.js';
import { normalizerOf } from './normalizer.js';
import { PieceMerges } from './pieceMerges.js';
import { preTokenizerOf } from './preTokenizer.js';

/** Cuts a text into tokens, which are given as they are written in the vocabulary. */
export type Encoder = (text: string) => string[];

/** The normalizer and the model of `library`, and around them what it does otherwise than the Rust library. */
export function encoderOf(json: JsonObject, library: LibraryTokenizer): Encoder {
  const normalize = normalizerOf(json.normalizer as JsonObject | null, library.normalizer);
  const added = (json.added_tokens as JsonObject[]).map(addedTokenOf);
  const asIs = new AddedTokenSplitter(added.filter((t) => !t.normalized).map((token) => [token.content, token]));
  const inNormalized = new AddedTokenSplitter(
    added
      .filter((t) => t.normalized)
      .map((token) => [token.verbatim ? token.content : normalize(token.content), token]),
  );
  const words = preTokenizerOf(json.pre_tokenizer as JsonObject | null);
  const pieces = pieceModel(json.model as JsonObject, library);
  return (text) => {
    const tokens: string[] = [];
    for (const part of asIs.split(text)) {
      if (part.token) {
        tokens.push(part.token.content);
        continue;
      }
      for (const inner of inNormalized.split(normalize(part.text))) {
        if (inner.token) tokens.push(inner.token.content);
        else
          for (const word of words(inner.text, part.first && inner.first))
            for (const piece of pieces(word)) tokens.push(piece);
      }
    }
    return tokens;
  };
}

/** Cuts a word into tokens of the vocabulary. */
function pieceModel(json: JsonObject, { model }: LibraryTokenizer): (word: string) => readonly string[] {
  if (Array.isArray(json.scores)) {
    const scores = json.scores as number[];
    const merges = new PieceMerges(
      new Map(Object.entries(json.vocab as Record<string, number>).map(([piece, id]) => [piece, scores[id]])),
      new Set((json.unused as string[] | undefined) ?? []),
    );
    // The library looks up what comes of it: bytes for what is no token, or the unknown one.
    model.bpe = (word) => merges.split(word);
  }
  if (json.type === 'Unigram') {
    const { tokens_to_ids: ids } = model;
    const cut = (word: string): string[] => model.tokenize(word);
    if (json.byte_fallback === true)
      return (word) => cut(word).flatMap((piece) => (ids.has(piece) ? [piece] : bytesOf(piece)));
    // A run of unknown characters is one unknown token.
    return (word) => cut(word).filter((piece, i, all) => i === 0 || ids.has(piece) || ids.has(all[i - 1]));
  }
  return (word) => model([word]);
}

/** `é` is `<0xC3>` and `<0xA9>`. */
export const bytesOf = (text: string): string[] => Array.from(new TextEncoder().encode(text), byteToken);

export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

/** Whether a file brings regular expressions, which may backtrack without end. */
export function hasPatterns(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(hasPatterns);
  return isJsonObject(json) && ('Regex' in json || Object.values(json).some(hasPatterns));
}
