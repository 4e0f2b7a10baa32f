/** What one side pushes as it comes and the other reads at its own pace, until it is closed. */
export class Channel<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #isClosed = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  /** Ends the reading once all is read, with an error if one is given. */
  close(error?: Error): void {
    this.#isClosed = true;
    this.#error = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      while (this.#items.length) yield this.#items.shift()!;
      if (this.#isClosed) break;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#error) throw this.#error;
  }
}
