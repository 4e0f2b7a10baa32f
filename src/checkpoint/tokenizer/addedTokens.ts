import type { JsonObject } from '../jsonFile.js';

/** A token that is looked for in a text before anything else is done with it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out of decoded text on request: `<s>`. */
  readonly special: boolean;
  /** Looked for in normalized text, by its own content normalized. */
  readonly normalized: boolean;
  /** Looked for in normalized text, but as it is written: SentencePiece's own, which no `tokenizer.json` has. */
  readonly verbatim: boolean;
  /** Counts only where no letter or digit stands beside it. */
  readonly singleWord: boolean;
  /** Takes the white space before or behind it along. */
  readonly leftStrip: boolean;
  readonly rightStrip: boolean;
}

/** As `tokenizer.json` writes it; flags that are left out have the defaults of Hugging Face's library. */
export function addedTokenOf(json: JsonObject): AddedToken {
  const special = json.special === true;
  return {
    id: json.id as number,
    content: json.content as string,
    special,
    normalized: json.normalized === undefined ? !special : json.normalized === true,
    verbatim: json.verbatim === true,
    singleWord: json.single_word === true,
    leftStrip: json.lstrip === true,
    rightStrip: json.rstrip === true,
  };
}

/** A piece of a text: one added token, or what lies between two. */
export interface TextPart {
  readonly text: string;
  readonly token?: AddedToken;
  /** Whether the text begins with it. */
  readonly first: boolean;
}

/**
 * Cuts texts at added tokens: of those that begin at one place the longest, from left to right. This is what
 * `AddedVocabulary` of Hugging Face's Rust library does; the JavaScript one knows no whole words, and strips less.
 */
export class AddedTokenSplitter {
  readonly #root: TrieNode = { next: new Map() };

  /** Tokens by what is looked for; of two that look for the same the later one counts. */
  constructor(tokens: Iterable<readonly [content: string, token: AddedToken]>) {
    for (const [content, token] of tokens) {
      if (!content) continue;
      let node = this.#root;
      for (const char of content.split('')) {
        const next: TrieNode = node.next.get(char) ?? { next: new Map() };
        node.next.set(char, next);
        node = next;
      }
      node.token = token;
    }
  }

  /** The parts of a text in order; none is empty. */
  *split(text: string): Generator<TextPart> {
    if (this.#root.next.size === 0) {
      if (text) yield { text, first: true };
      return;
    }
    let done = 0;
    for (let at = 0; at < text.length;) {
      const found = this.#longest(text, at);
      if (!found) {
        at++;
        continue;
      }
      const { token, end } = found;
      const begin = at;
      at = end;
      if (token.singleWord && (isWord(charBefore(text, begin)) || isWord(charAt(text, end)))) continue;
      // White space that the token before took is not taken twice.
      const from = token.leftStrip ? Math.max(spaceBefore(text, begin), done) : begin;
      const to = token.rightStrip ? spaceBehind(text, end) : end;
      if (done < from) yield { text: text.slice(done, from), first: done === 0 };
      yield { text: text.slice(from, to), token, first: from === 0 };
      done = to;
    }
    if (done < text.length) yield { text: text.slice(done), first: done === 0 };
  }

  #longest(text: string, at: number): { token: AddedToken; end: number } | undefined {
    let node: TrieNode | undefined = this.#root;
    let found: { token: AddedToken; end: number } | undefined;
    for (let end = at; (node = node.next.get(text[end]));) {
      end++;
      if (node.token) found = { token: node.token, end };
    }
    return found;
  }
}

interface TrieNode {
  readonly next: Map<string, TrieNode>;
  token?: AddedToken;
}

/** The character that begins there; empty at the end. */
const charAt = (text: string, at: number): string =>
  at < text.length ? String.fromCodePoint(text.codePointAt(at)!) : '';

function charBefore(text: string, at: number): string {
  const low = text.charCodeAt(at - 1);
  return at > 1 && low >= 0xdc00 && low < 0xe000 ? charAt(text, at - 2) : text.slice(Math.max(0, at - 1), at);
}

/** Unicode's letters, marks, digits and connectors, as `\w` of Rust. */
const isWord = (char: string): boolean => /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(char);
const isSpace = (char: string): boolean => /\p{White_Space}/u.test(char);

function spaceBefore(text: string, at: number): number {
  while (at > 0 && isSpace(text[at - 1])) at--;
  return at;
}

function spaceBehind(text: string, at: number): number {
  while (at < text.length && isSpace(text[at])) at++;
  return at;
}
