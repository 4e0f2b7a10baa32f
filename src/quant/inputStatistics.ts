/** The most tokens that are kept whole. */
const sampled = 1024;

/** What AWQ needs to know of a projection's inputs: the mean magnitude of every column, and some tokens as they were. */
export class InputStatistics {
  readonly #sums: Float64Array;
  readonly #kept: Float32Array;
  readonly #stride: number;
  #tokens = 0;
  #taken = 0;

  constructor(
    readonly width: number,
    /** Tokens that will be added; evenly spaced ones are kept whole. */
    total: number,
  ) {
    this.#stride = Math.max(1, Math.ceil(total / sampled));
    this.#sums = new Float64Array(width);
    this.#kept = new Float32Array(Math.ceil(total / this.#stride) * width);
  }

  /** Adds inputs [tokens, width]. */
  add(input: Float32Array): void {
    const { width } = this;
    for (let at = 0; at < input.length; at += width, this.#tokens++) {
      for (let i = 0; i < width; i++) this.#sums[i] += Math.abs(input[at + i]);
      if (this.#tokens % this.#stride !== 0) continue;
      this.#kept.set(input.subarray(at, at + width), this.#taken++ * width);
    }
  }

  get means(): Float64Array {
    return this.#sums.map((sum) => sum / Math.max(1, this.#tokens));
  }

  /** [tokens kept, width] */
  get sample(): Float32Array {
    return this.#kept.subarray(0, this.#taken * this.width);
  }
}

/** Inputs [tokens, width] divided by scales, column by column. */
export const dividedColumns = (input: Float32Array, scales: ArrayLike<number>): Float32Array =>
  input.map((value, i) => value / scales[i % scales.length]);
