import { TextStream, type Tokenizer } from '../checkpoint/index.js';

/** What single tokens look like, and where they stand in a text. Offsets count code points, as Python does. */
export class TokenTexts {
  readonly #texts = new Map<number, string>();

  constructor(private readonly tokenizer: Tokenizer) {}

  /** The text of a token alone, special ones included. */
  of(id: number): string {
    let text = this.#texts.get(id);
    if (text === undefined) this.#texts.set(id, (text = this.tokenizer.decode([id])));
    return text;
  }

  /** Where each token's text begins; `text` is that of all of them. */
  offsets(ids: readonly number[], text: string): number[] {
    const alone = ids.map((id) => this.of(id));
    // Decoders that treat a first token apart, and tokens of half a character, need their neighbours.
    return beginnings(alone.join('') === text ? alone : this.#pieces(ids));
  }

  #pieces(ids: readonly number[]): string[] {
    const stream = new TextStream({ decode: (some) => this.tokenizer.decode(some) }, []);
    return ids.map((id) => stream.push(id));
  }
}

function beginnings(pieces: readonly string[]): number[] {
  let at = 0;
  return pieces.map((piece) => {
    const begins = at;
    at += codePoints(piece);
    return begins;
  });
}

export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
