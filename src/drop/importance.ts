import { UserError, type Tensor } from '../engine/index.js';
import { walkRows, type WalkOptions } from '../calibrate/index.js';
import type { Model, ModuleKind, Observer, SubLayerEvent } from '../models/index.js';
import { cosine, type Metric } from './metric.js';
import { MetricSums } from './metricSums.js';

/** A score by original layer; null where the module was already dropped. */
export type Scores = readonly (number | null)[];

/** Similarities of what enters and what leaves each module: the higher, the more redundant. */
export interface Importance {
  readonly metric: string;
  /** Rows, tokens a row, and their product. */
  readonly samples: number;
  readonly length: number;
  readonly tokens: number;
  readonly similarity: {
    /** cos(x, x + attention(norm(x))). */
    readonly attention: Scores;
    readonly mlp: Scores;
    /** cos(h_i, h_i+1). */
    readonly block: Scores;
    /** Without the residual: cos(norm(x), attention(norm(x))). */
    readonly attentionBare: Scores;
    readonly mlpBare: Scores;
  };
  /** [i][g - 1] = cos(h_i, h_i+g): windows of g blocks from layer i; null past the last layer. */
  readonly blockConsecutive: readonly Scores[];
}

export interface ScoreOptions extends Omit<WalkOptions, 'observer'> {
  /** @defaultValue cosine */
  readonly metric?: Metric;
}

/**
 * Scores attention, MLP (each with and without the residual) and all block windows in one pass over the rows, in
 * running sums (LLM-Drop, section 3; the official code keeps all hidden states and makes a pass for each target).
 */
export async function scoreImportance(model: Model, rows: readonly Int32Array[], options: ScoreOptions = {}): Promise<Importance> {
  if (rows.length === 0) throw new UserError('scoring needs at least one calibration row');
  using scorer = new Scorer(model, options.metric ?? cosine);
  await walkRows(model, rows, { ...options, observer: scorer }, () => scorer.endRow());
  const tokens = rows.reduce((sum, { length }) => sum + length, 0);
  return { metric: scorer.metric.name, samples: rows.length, length: rows[0].length, tokens, ...(await scorer.scores(tokens)) };
}

/** Hangs on a pass as its observer, and keeps one row's residual streams until all windows over them are measured. */
class Scorer implements Observer, Disposable {
  readonly #layers: number;
  readonly #withResidual: Record<ModuleKind, MetricSums>;
  readonly #bare: Record<ModuleKind, MetricSums>;
  readonly #windows: MetricSums;
  #streams: Tensor[] = [];

  constructor(
    private readonly model: Model,
    readonly metric: Metric,
  ) {
    this.#layers = model.layers.length;
    const sums = (length: number): MetricSums => new MetricSums(model.engine, metric, length);
    this.#withResidual = { attention: sums(this.#layers), mlp: sums(this.#layers) };
    this.#bare = { attention: sums(this.#layers), mlp: sums(this.#layers) };
    this.#windows = sums(this.#layers ** 2);
  }

  get #all(): MetricSums[] {
    return [...Object.values(this.#withResidual), ...Object.values(this.#bare), this.#windows];
  }

  subLayer({ layer, kind, before, delta, after, norm }: SubLayerEvent): void {
    this.#withResidual[kind].add(before, after, layer);
    this.#bare[kind].add(this.model.engine.rmsNorm(before, norm), delta, layer);
  }

  stream(layer: number, hidden: Tensor): void {
    for (const [i, earlier] of this.#streams.entries()) this.#windows.add(earlier, hidden, i * this.#layers + (layer - i - 1));
    this.#streams.push(hidden.detach());
  }

  async endRow(): Promise<void> {
    this.#freeStreams();
    for (const sums of this.#all) await sums.endRow();
  }

  #freeStreams(): void {
    for (const stream of this.#streams) stream.dispose();
    this.#streams = [];
  }

  async scores(tokens: number): Promise<Pick<Importance, 'similarity' | 'blockConsecutive'>> {
    const { layers } = this.model;
    const means = async (sums: MetricSums): Promise<number[]> => Array.from(await sums.read(), (sum) => sum / tokens);
    const present = (values: number[], kind: ModuleKind): Scores => values.map((value, i) => (layers[i].skips(kind) ? null : value));
    const windows = await means(this.#windows);
    const L = this.#layers;
    const blockConsecutive = layers.map((_, i) => Array.from({ length: L }, (__, gap) => (i + gap < L ? windows[i * L + gap] : null)));
    return {
      similarity: {
        attention: present(await means(this.#withResidual.attention), 'attention'),
        mlp: present(await means(this.#withResidual.mlp), 'mlp'),
        block: layers.map(({ skipAttention, skipMlp }, i) => (skipAttention && skipMlp ? null : blockConsecutive[i][0])),
        attentionBare: present(await means(this.#bare.attention), 'attention'),
        mlpBare: present(await means(this.#bare.mlp), 'mlp'),
      },
      blockConsecutive,
    };
  }

  [Symbol.dispose](): void {
    this.#freeStreams();
    for (const sums of this.#all) sums[Symbol.dispose]();
  }
}
