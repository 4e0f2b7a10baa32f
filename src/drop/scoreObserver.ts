import type { Accumulator, ExpertTally, Tensor } from '../engine/index.js';
import { expertCount, type Model, type Observer, type SubLayerEvent } from '../models/index.js';
import type { Metric } from './metric.js';
import { MetricSums } from './metricSums.js';
import { expertsAt, partAt, sumsLength, windowAt } from './scoreSums.js';

/**
 * Adds what a pass shows it to running sums, laid out as `ScoreSums.sums`. Of a row it keeps as many residual streams as
 * the windows over them need.
 */
export class ScoreObserver implements Observer, Disposable {
  readonly #layers: number;
  readonly #experts: number;
  readonly #sums: MetricSums;
  readonly #streams = new Map<number, Tensor>();

  constructor(
    private readonly model: Model,
    metric: Metric,
    /** Lengths of the windows, ascending. */
    private readonly gaps: readonly number[],
    /** The sums of the rows that an earlier run has passed. */
    from?: readonly number[],
  ) {
    this.#layers = model.layers.length;
    this.#experts = expertCount(model.description);
    this.#sums = new MetricSums(model.engine, metric, sumsLength(this.#layers, gaps.length, this.#experts), from);
  }

  /** Sums over the rows that have ended. */
  get sums(): Float64Array {
    return this.#sums.sums;
  }

  subLayer({ layer, kind, before, delta, after, norm }: SubLayerEvent): void {
    this.#sums.add(before, after, partAt(kind, this.#layers, layer));
    const read = norm ? this.model.engine.rmsNorm(before, norm) : before;
    this.#sums.add(read, delta, partAt(`${kind}Bare`, this.#layers, layer));
  }

  experts(layer: number): ExpertTally<Accumulator> {
    return { into: this.#sums.row, index: expertsAt(this.#layers, this.gaps.length, this.#experts, layer) };
  }

  stream(layer: number, hidden: Tensor): void {
    for (const [at, gap] of this.gaps.entries()) {
      const earlier = this.#streams.get(layer - gap);
      if (earlier) this.#sums.add(earlier, hidden, windowAt(this.#layers, this.gaps.length, layer - gap, at));
    }
    this.recall(layer, hidden);
    const over = layer - this.gaps[this.gaps.length - 1];
    this.#streams.get(over)?.dispose();
    this.#streams.delete(over);
  }

  /** Keeps a stream that was measured before, for windows that begin with it. */
  recall(layer: number, hidden: Tensor): void {
    this.#streams.get(layer)?.dispose();
    this.#streams.set(layer, hidden.detach());
  }

  async endRow(): Promise<void> {
    this.#freeStreams();
    await this.#sums.endRow();
  }

  #freeStreams(): void {
    for (const stream of this.#streams.values()) stream.dispose();
    this.#streams.clear();
  }

  [Symbol.dispose](): void {
    this.#freeStreams();
    this.#sums[Symbol.dispose]();
  }
}
