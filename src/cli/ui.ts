import type { Progress } from '../progress/index.js';
import type { JobOptions, JobProgress } from '../jobs/index.js';
import { withFlags, type OptionNames } from './flagNames.js';
import { ProgressLine, type Output } from './progressLine.js';
import { Questions } from './questions.js';

/** What a command runs in: the streams, and the signal of Ctrl-C. */
export interface Surroundings {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly signal?: AbortSignal;
  /** @defaultValue the process's */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean };
}

/** Thrown where a text that is made as it is read has no reader any more. */
export class ReaderGone extends Error {}

/** How commands speak: results on stdout, progress and notes on stderr. */
export class Ui {
  readonly signal: AbortSignal;
  #line: ProgressLine | undefined;

  constructor(
    private readonly surroundings: Surroundings,
    /** One JSON document in place of text for people. */
    readonly json: boolean,
    /** Of the command, for what the library tells. */
    private readonly names: OptionNames = { options: {} },
  ) {
    this.signal = surroundings.signal ?? new AbortController().signal;
  }

  /** Columns of text for people. */
  get width(): number {
    return Math.min(this.surroundings.stdout.columns ?? 80, 120);
  }

  /** A command's one result. */
  show<T>(result: T, forPeople: (result: T) => readonly string[]): void {
    this.quiet();
    if (this.json) this.surroundings.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    else for (const line of forPeople(result)) this.surroundings.stdout.write(`${line}\n`);
  }

  /** Text for people as it comes; nothing with `--json`. Ends the command where nobody reads it. */
  stream(text: string): void {
    if (this.json || text === '') return;
    if (this.surroundings.stdout.closed) throw new ReaderGone();
    this.quiet();
    this.surroundings.stdout.write(text);
  }

  /** What is asked on standard input. `onInterrupt` is called at Ctrl-C on a terminal. */
  questions(prompt: string, onInterrupt: () => void): Questions {
    const { stdin = process.stdin, stderr } = this.surroundings;
    return new Questions(stdin, stderr, { prompt, onInterrupt, signal: this.signal });
  }

  /** Something people should know that is no error. */
  note(text: string | undefined): void {
    if (!text) return;
    this.quiet();
    this.surroundings.stderr.write(`note: ${withFlags(text, this.names)}\n`);
  }

  /** Tells a result's notes, and gives it with these as the command speaks. */
  noted<T extends { readonly notes: readonly string[] }>(result: T): T {
    const notes = result.notes.map((note) => withFlags(note, this.names));
    for (const note of notes) this.note(note);
    return { ...result, notes };
  }

  /** A stage of work: the callback to give to the library. It also ends the work after Ctrl-C. */
  progress(label: string): Progress {
    this.quiet();
    const { stderr } = this.surroundings;
    const line = this.json && !stderr.isTTY ? undefined : new ProgressLine(stderr, label);
    this.#line = line;
    return (done, total, unit) => {
      this.signal.throwIfAborted();
      if (done >= total) line?.clear();
      else line?.update(done, total, unit);
    };
  }

  /** What a job is given: it tells its stages, its notes, and asks whether it is to end. */
  get job(): Required<JobOptions> {
    let current: { stage: string; draw: Progress } | undefined;
    const onProgress = ({ stage, done, total, unit }: JobProgress): void => {
      if (current?.stage !== stage || total === 0) current = { stage, draw: this.progress(stage) };
      current.draw(done, total, unit);
    };
    return { onProgress, onNote: (note) => this.note(note), signal: this.signal };
  }

  /** Takes the progress line off the terminal. */
  quiet(): void {
    this.#line?.clear();
  }
}
