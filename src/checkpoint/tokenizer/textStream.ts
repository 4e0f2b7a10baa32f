import type { Tokenizer } from './tokenizer.js';

/** How many tokens of the prompt are decoded together with the first new ones, as their context. */
const context = 8;

/**
 * Text of tokens as they come. A token may end in the middle of a character, and some decoders treat the first token of
 * a text apart (its leading space): each piece is the difference of two decodings that begin at the same earlier token.
 */
export class TextStream {
  readonly #ids: number[];
  /** Both decodings begin here. */
  #from = 0;
  /** How many tokens the text returned so far covers. */
  #told: number;

  constructor(
    private readonly tokenizer: Pick<Tokenizer, 'decode'>,
    prompt: readonly number[],
  ) {
    this.#ids = prompt.slice(-context);
    this.#told = this.#ids.length;
  }

  /** The text that is certain with one token more; empty while a character is incomplete. */
  push(id: number): string {
    this.#ids.push(id);
    const piece = this.#piece();
    if (piece === '' || piece.endsWith('\uFFFD')) return '';
    this.#from = this.#told;
    this.#told = this.#ids.length;
    return piece;
  }

  /** What is left at the end: an incomplete character as a replacement sign. */
  end(): string {
    return this.#piece();
  }

  #piece(): string {
    const decode = (to: number): string =>
      this.tokenizer.decode(this.#ids.slice(this.#from, to), { skipSpecialTokens: true });
    return decode(this.#ids.length).slice(decode(this.#told).length);
  }
}
