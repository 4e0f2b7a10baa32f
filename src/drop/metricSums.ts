import { NotFiniteError, allFinite, type Accumulator, type Engine, type Tensor } from '../engine/index.js';
import type { Metric } from './metric.js';

/**
 * Sums of a metric over tokens, by element. A row's tokens are summed on the device if the metric has a kernel there;
 * rows are summed here, in float64 and in their order. So an element's sum is the same to the last bit whether rows or
 * layers run first, and whether a run was interrupted.
 */
export class MetricSums implements Disposable {
  /** Totals of the rows that have ended. */
  readonly sums: Float64Array;
  /** Sums of the row on the device, of what has a kernel there. */
  #row: Accumulator | undefined;
  #waiting: { index: number; products: Tensor[] }[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly metric: Metric,
    readonly length: number,
    from?: ArrayLike<number>,
  ) {
    if (from && !Array.from(from).every(Number.isFinite))
      throw new NotFiniteError('the sums of the rows before are not all finite', {}, { hint: 'score these rows anew' });
    this.sums = from ? Float64Array.from(from) : new Float64Array(length);
  }

  /** Adds the tokens of a and b, both [T, D], to element `index`. */
  add(a: Tensor, b: Tensor, index: number): void {
    if (this.metric.fused) return this.metric.fused(this.engine, a, b, this.row, index);
    const products = [
      [a, b],
      [a, a],
      [b, b],
    ].map(([x, y]) => this.engine.sum(this.engine.multiply(x, y)).detach());
    this.#waiting.push({ index, products });
  }

  /** For kernels that add to elements of their own. */
  get row(): Accumulator {
    return (this.#row ??= this.engine.accumulator(this.length));
  }

  /** Adds the row's sums to the totals. NotFiniteError where one is no number. */
  async endRow(): Promise<void> {
    const added = await this.#similarities();
    if (this.#row) (await this.engine.readAccumulator(this.#row)).forEach((sum, index) => (added[index] += sum));
    this.#forget();
    if (!allFinite(added))
      throw new NotFiniteError(
        `the ${this.metric.name} scores are not finite, though the model's layers are: its values are too large to be compared`,
      );
    added.forEach((sum, index) => (this.sums[index] += sum));
  }

  async #similarities(): Promise<Float64Array> {
    const added = new Float64Array(this.length);
    for (const { index, products } of this.#waiting) {
      const [dot, aa, bb] = await Promise.all(products.map((t) => this.engine.readFloats(t)));
      dot.forEach((_, token) => (added[index] += this.metric.similarity(dot[token], aa[token], bb[token])));
    }
    return added;
  }

  #forget(): void {
    this.#row?.dispose();
    this.#row = undefined;
    for (const { products } of this.#waiting) products.forEach((t) => t.dispose());
    this.#waiting = [];
  }

  [Symbol.dispose](): void {
    this.#forget();
  }
}
