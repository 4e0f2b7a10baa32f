/** Pieces of all weights that are read at a time: as many as Node has threads that read. */
const piecesAhead = 4;

/** Lets so many in at a time, in the order in which they came. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #free = piecesAhead;

  async take(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
