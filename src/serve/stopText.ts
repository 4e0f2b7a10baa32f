/** A text as it comes, up to the first of some stop texts: what may be the beginning of one is held back. */
export class StopText {
  /** Whether a stop text was found. */
  isStopped = false;
  #held = '';

  constructor(private readonly stops: readonly string[]) {}

  /** The text that is certain with another piece. */
  push(piece: string): string {
    if (this.isStopped) return '';
    const text = this.#held + piece;
    const found = this.stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length) {
      this.isStopped = true;
      this.#held = '';
      return text.slice(0, Math.min(...found));
    }
    const certain = text.length - Math.max(0, ...this.stops.map((stop) => beginning(text, stop)));
    this.#held = text.slice(certain);
    return text.slice(0, certain);
  }

  /** What was held back, at the end of the text. */
  end(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}

/** How many characters at the end of a text are the beginning of another. */
function beginning(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}
