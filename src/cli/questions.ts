import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Output } from './progressLine.js';

export interface QuestionsOptions {
  readonly prompt: string;
  /** Ctrl-C on a terminal. */
  readonly onInterrupt: () => void;
  readonly signal: AbortSignal;
}

/** What is asked, line by line: on a terminal behind a prompt, with a history; else as the input has it. */
export class Questions implements Disposable {
  readonly #lines: Interface;
  readonly isTerminal: boolean;

  constructor(
    input: NodeJS.ReadableStream & { readonly isTTY?: boolean },
    /** Where a terminal shows what is typed: beside the answers, which may go to a file. */
    output: Output,
    private readonly o: QuestionsOptions,
  ) {
    this.isTerminal = input.isTTY === true;
    this.#lines = createInterface({
      input,
      output: this.isTerminal ? writableOf(output) : undefined,
      terminal: this.isTerminal,
      prompt: o.prompt,
      crlfDelay: Infinity,
    });
    this.#lines.on('SIGINT', o.onInterrupt);
    o.signal.addEventListener('abort', this.close);
  }

  /** Ends them. */
  readonly close = (): void => this.#lines.close();

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    this.#ask();
    for await (const line of this.#lines) {
      yield line;
      this.#ask();
    }
  }

  #ask(): void {
    if (this.isTerminal) this.#lines.prompt();
  }

  [Symbol.dispose](): void {
    this.o.signal.removeEventListener('abort', this.close);
    this.close();
  }
}

function writableOf(output: Output): NodeJS.WritableStream {
  const write = (text: Buffer, _encoding: string, done: () => void): void => {
    output.write(text.toString());
    done();
  };
  return Object.defineProperty(new Writable({ write }), 'columns', { get: () => output.columns });
}
