import { formatBytes, formatDuration, formatRate } from './units.js';

/** Where text goes: a stream of the process, or a test's. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  /** True where nobody takes what is written any more. */
  readonly closed?: boolean;
  /** Fails where what was written could not be. */
  flushed?(): Promise<void>;
}

/**
 * Milliseconds. Work that is over before `first` shows nothing; after that, a line is shown at most this often, on a
 * terminal and elsewhere.
 */
const timing = { first: 2000, terminal: 100, plain: 10_000 };

const eraseLine = '\r\u001b[K';

/** One stage of work as a line with its rate and the time left: rewritten on a terminal, now and then a new one elsewhere. */
export class ProgressLine {
  readonly #start: number;
  #lastDrawn = 0;
  #onScreen = false;

  constructor(
    private readonly output: Output,
    private readonly label: string,
    private readonly now: () => number = Date.now,
  ) {
    this.#start = now();
  }

  update(done: number, total: number, unit: string): void {
    const time = this.now();
    const elapsed = time - this.#start;
    const interval = this.output.isTTY ? timing.terminal : timing.plain;
    if (elapsed < timing.first || (this.#lastDrawn && time - this.#lastDrawn < interval)) return;
    this.#lastDrawn = time;
    const line = `${this.label}: ${describe(done, total, unit, elapsed / 1000)}`;
    if (!this.output.isTTY) {
      this.output.write(`${line}\n`);
      return;
    }
    this.output.write(eraseLine + line.slice(0, (this.output.columns ?? 80) - 1));
    this.#onScreen = true;
  }

  /** Takes the line off the terminal. */
  clear(): void {
    if (this.#onScreen) this.output.write(eraseLine);
    this.#onScreen = false;
  }
}

/** `12 of 256 rows, 1.3 rows/s, 3 min 8 s left` */
function describe(done: number, total: number, unit: string, seconds: number): string {
  const isKnown = total > 0 || done === 0;
  const of = unit === 'bytes' ? ` of ${formatBytes(total)}` : ` of ${total}`;
  const amount = `${unit === 'bytes' ? formatBytes(done) : done}${isKnown ? of : ''}${unit === 'bytes' ? '' : ` ${unit}`}`;
  if (done === 0) return amount;
  const rate = done / seconds;
  const speed = unit === 'bytes' ? `${formatBytes(rate)}/s` : `${formatRate(rate)} ${unit}/s`;
  return isKnown ? `${amount}, ${speed}, ${formatDuration((total - done) / rate)} left` : `${amount}, ${speed}`;
}
