import type { Accumulator, Engine, Tensor } from '../engine/index.js';
import type { Metric } from './metric.js';

/** Sums of a metric over tokens, by element: on the device where the metric is one kernel there, else a row at a time here. */
export class MetricSums implements Disposable {
  readonly #device: Accumulator | undefined;
  readonly #host: Float64Array;
  #waiting: { index: number; products: Tensor[] }[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly metric: Metric,
    readonly length: number,
  ) {
    if (metric.fused) this.#device = engine.accumulator(length);
    this.#host = new Float64Array(metric.fused ? 0 : length);
  }

  /** Adds the tokens of a and b, both [T, D], to element `index`. */
  add(a: Tensor, b: Tensor, index: number): void {
    if (this.#device) return this.metric.fused!(this.engine, a, b, this.#device, index);
    const products = [[a, b], [a, a], [b, b]].map(([x, y]) => this.engine.sum(this.engine.multiply(x, y)).detach());
    this.#waiting.push({ index, products });
  }

  /** Takes in what the row has added. */
  async endRow(): Promise<void> {
    const rows = this.#waiting;
    this.#waiting = [];
    for (const { index, products } of rows) {
      const [dot, aa, bb] = await Promise.all(products.map((t) => this.engine.readFloats(t)));
      dot.forEach((_, token) => (this.#host[index] += this.metric.similarity(dot[token], aa[token], bb[token])));
      products.forEach((t) => t.dispose());
    }
  }

  async read(): Promise<Float64Array> {
    return this.#device ? this.engine.readAccumulator(this.#device) : this.#host;
  }

  [Symbol.dispose](): void {
    this.#device?.dispose();
    for (const { products } of this.#waiting) products.forEach((t) => t.dispose());
    this.#waiting = [];
  }
}
