import { fileError } from '../checkpoint/index.js';
import type { Output } from './progressLine.js';

/** The part of a process's stream that is used. */
type ProcessStream = Pick<NodeJS.WriteStream, 'write' | 'on' | 'isTTY' | 'columns'>;

/** Standard output or error. Once a write has failed it takes no more, and the program goes on: what that means is for it to say. */
export class StandardStream implements Output {
  #error: NodeJS.ErrnoException | undefined;

  constructor(
    private readonly stream: ProcessStream,
    private readonly name: string,
  ) {
    stream.on('error', (error: NodeJS.ErrnoException) => (this.#error ??= error));
  }

  get isTTY(): boolean {
    return this.stream.isTTY;
  }

  get columns(): number {
    return this.stream.columns;
  }

  write(text: string): void {
    if (!this.#error) this.stream.write(text);
  }

  /** Its reader has gone (`| head`), or it cannot be written. */
  get closed(): boolean {
    return this.#error !== undefined;
  }

  /** Resolves when all is written, and fails in a sentence where that was not possible; that a reader has seen enough is no failure. */
  async flushed(): Promise<void> {
    if (!this.#error) await new Promise<void>((done) => this.stream.write('', () => done()));
    if (this.#error && this.#error.code !== 'EPIPE') throw fileError(this.#error, 'cannot write to', this.name);
  }
}
