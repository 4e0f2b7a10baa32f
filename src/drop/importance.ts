import { tmpdir } from 'node:os';
import {
  DiskStates,
  MemoryStates,
  streamRows,
  walkRows,
  type HiddenStates,
  type StreamPosition,
  type WalkOptions,
  type SavedProgress,
} from '../calibrate/index.js';
import { UserError, type Tensor } from '../engine/index.js';
import {
  addressableBytes,
  defaultMaxMemory,
  memoryNeeds,
  type Drops,
  type Model,
  type ModuleKind,
  type Observer,
  type SubLayerEvent,
} from '../models/index.js';
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
  /** [i][g - 1] = cos(h_i, h_i+g): windows of g blocks from layer i; null past the last layer, and where not asked for. */
  readonly blockConsecutive: readonly Scores[];
}

/** What scores are means of: sums over tokens. Those of parts of the rows add up to those of all. */
export interface ScoreSums {
  readonly metric: string;
  readonly samples: number;
  readonly length: number;
  readonly tokens: number;
  readonly layers: number;
  /** Lengths of the windows of blocks, ascending. */
  readonly gaps: readonly number[];
  /** What was skipped. */
  readonly drop: Drops;
  /** By layer: attention, MLP, both without the residual; then by layer and gap the windows. */
  readonly sums: readonly number[];
}

/** How far an interrupted scoring has come. */
export interface ScoreState {
  readonly next: StreamPosition;
  readonly sums: readonly number[];
}

/** Where the state is kept: a `ProgressFile` is one. */
export type ScoreProgress = SavedProgress<ScoreState>;

export interface ScoreOptions extends Omit<WalkOptions, 'observer'> {
  /** @defaultValue cosine */
  readonly metric?: Metric;
  /** Windows of so many blocks; 1 is always among them. @defaultValue all, and of a streamed model 1 */
  readonly gaps?: readonly number[];
  /** Continues what it holds, and saves there. */
  readonly progress?: ScoreProgress;
  /** Bytes that the process may take while it streams a model that is not loaded. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
  /** Where a streamed model's hidden states go that do not fit in memory: always, or when needed. @defaultValue 'auto' */
  readonly spill?: 'always' | 'auto';
  /** For temporary files. @defaultValue the system's folder */
  readonly temporary?: string;
}

/**
 * Scores attention, MLP (each with and without the residual) and windows of blocks in one pass over the rows, in running
 * sums (LLM-Drop, section 3; the official code keeps all hidden states and makes a pass for each target). A model that
 * is not loaded is streamed, a layer at a time, to the same scores.
 */
export async function scoreImportance(
  model: Model,
  rows: readonly Int32Array[],
  options: ScoreOptions = {},
): Promise<Importance> {
  return importanceOf(await scoreSums(model, rows, options));
}

/** The sums alone: of one shard of the rows, say. */
export async function scoreSums(
  model: Model,
  rows: readonly Int32Array[],
  options: ScoreOptions = {},
): Promise<ScoreSums> {
  if (rows.length === 0) throw new UserError('scoring needs at least one calibration row');
  const metric = options.metric ?? cosine;
  const gaps = checkedGaps(options.gaps ?? defaultGaps(model), model.layers.length);
  using scorer = new Scorer(model, metric, gaps, options.progress?.previous?.sums);
  if (model.isLoaded) await scoreLoaded(model, rows, scorer, options);
  else await scoreStreamed(model, rows, scorer, gaps, options);
  return {
    metric: metric.name,
    samples: rows.length,
    length: rows[0].length,
    tokens: rows.reduce((sum, { length }) => sum + length, 0),
    layers: model.layers.length,
    gaps,
    drop: model.drops,
    sums: Array.from(scorer.sums),
  };
}

/** All windows; of a streamed model single blocks, since longer ones make earlier hidden states wait. */
export const defaultGaps = (model: Model): number[] => (model.isLoaded ? model.layers.map((_, i) => i + 1) : [1]);

function checkedGaps(gaps: readonly number[], layers: number): number[] {
  const bad = gaps.find((gap) => !Number.isInteger(gap) || gap < 1 || gap > layers);
  if (bad !== undefined) throw new UserError(`cannot score windows of ${bad} blocks: the model has ${layers}`);
  return [...new Set([1, ...gaps])].sort((a, b) => a - b);
}

async function scoreLoaded(
  model: Model,
  rows: readonly Int32Array[],
  scorer: Scorer,
  options: ScoreOptions,
): Promise<void> {
  const { onProgress, progress } = options;
  const done = progress?.previous?.next.row ?? 0;
  const saver = new Saver(progress, scorer);
  await saver.around(() =>
    walkRows(
      model,
      rows.slice(done),
      { ...options, observer: scorer, onProgress: (row) => onProgress?.(done + row, rows.length, 'rows') },
      async (_, row) => {
        await scorer.endRow();
        await saver.reached({ layer: 0, row: done + row + 1 });
      },
    ),
  );
}

async function scoreStreamed(
  model: Model,
  rows: readonly Int32Array[],
  scorer: Scorer,
  gaps: readonly number[],
  options: ScoreOptions,
): Promise<void> {
  const { progress } = options;
  using states = waitingStates(model, rows, gaps, options);
  const saver = new Saver(progress, scorer, states);
  const onRow = async (next: StreamPosition): Promise<void> => {
    await scorer.endRow();
    // A layer's inputs go when it is done: what would still need them must not be the last state saved.
    await saver.reached(next, next.row === 0);
  };
  const recall = (layer: number, hidden: Tensor): void => scorer.recall(layer, hidden);
  await saver.around(() =>
    streamRows(model, rows, {
      ...options,
      observer: scorer,
      states,
      gaps,
      recall,
      onRow,
      from: progress?.previous?.next,
    }),
  );
}

/** In memory where they fit beside a layer; a run that is to be continued later keeps them on the disk. */
function waitingStates(
  model: Model,
  rows: readonly Int32Array[],
  gaps: readonly number[],
  options: ScoreOptions,
): HiddenStates {
  const { maxMemory = defaultMaxMemory(), spill = 'auto', progress } = options;
  const lengths = rows.map(({ length }) => length);
  const { hiddenSize } = model.config;
  const { layer, row, program } = memoryNeeds(model, Math.max(...lengths));
  const least = layer + row + program;
  if (least > maxMemory || layer + row > addressableBytes(model))
    throw new UserError(
      `a layer of ${bytesText(layer)} and a row of ${bytesText(row)} need ${bytesText(least)} of memory in all, more than ${bytesText(Math.min(maxMemory, addressableBytes(model)))}`,
      {
        hint: 'allow more with `maxMemory`, or take shorter rows',
      },
    );
  if (progress) return new DiskStates(lengths, hiddenSize, progress.folder, true);
  // What enters the layer, what leaves it, and what longer windows recall.
  const streams = 2 + Math.max(...gaps) - 1;
  const waiting = 4 * hiddenSize * streams * lengths.reduce((sum, length) => sum + length, 0);
  return spill === 'always' || least + waiting > maxMemory
    ? new DiskStates(lengths, hiddenSize, options.temporary ?? tmpdir(), false)
    : new MemoryStates();
}

const bytesText = (bytes: number): string => `${(bytes / 1e6).toPrecision(4)} MB`;

/** Between states saved pass so many milliseconds, and so many times what saving takes. */
const saveInterval = { least: 500, times: 20 };

/** Saves now and then, and once more when the work is interrupted. */
class Saver {
  /** When the next save is due. */
  #due = Date.now() + saveInterval.least;
  #unsaved: ScoreState | undefined;

  constructor(
    private readonly progress: ScoreProgress | undefined,
    private readonly scorer: Scorer,
    private readonly states?: HiddenStates,
  ) {}

  async reached(next: StreamPosition, now = false): Promise<void> {
    if (!this.progress) return;
    this.#unsaved = { next, sums: Array.from(this.scorer.sums) };
    if (now || Date.now() >= this.#due) await this.#save();
  }

  async around(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.#save();
      throw error;
    }
  }

  async #save(): Promise<void> {
    if (!this.#unsaved) return;
    const start = Date.now();
    this.states?.sync();
    await this.progress!.save(this.#unsaved);
    this.#unsaved = undefined;
    const end = Date.now();
    this.#due = end + Math.max(saveInterval.least, saveInterval.times * (end - start));
  }
}

/** Scores from sums: means over all tokens. */
export function importanceOf({ metric, samples, length, tokens, layers, gaps, drop, sums }: ScoreSums): Importance {
  const means = sums.map((sum) => sum / tokens);
  const all = Array.from({ length: layers }, (_, i) => i);
  const gone = (kind: ModuleKind, i: number): boolean => drop[kind].includes(i);
  const present = (part: number, kind: ModuleKind): Scores =>
    all.map((i) => (gone(kind, i) ? null : means[part * layers + i]));
  const window = (i: number, gap: number): number | null => {
    const at = gaps.indexOf(gap);
    return at < 0 || i + gap > layers ? null : means[windowAt(layers, gaps.length, i, at)];
  };
  return {
    metric,
    samples,
    length,
    tokens,
    similarity: {
      attention: present(parts.attention, 'attention'),
      mlp: present(parts.mlp, 'mlp'),
      block: all.map((i) => (gone('attention', i) && gone('mlp', i) ? null : window(i, 1))),
      attentionBare: present(parts.attentionBare, 'attention'),
      mlpBare: present(parts.mlpBare, 'mlp'),
    },
    blockConsecutive: all.map((i) => all.map((j) => window(i, j + 1))),
  };
}

/** Where the parts of `ScoreSums.sums` lie, in layers. */
const parts = { attention: 0, mlp: 1, attentionBare: 2, mlpBare: 3 } as const;
const windowAt = (layers: number, gaps: number, layer: number, gap: number): number => 4 * layers + layer * gaps + gap;

/** Numbers in `ScoreSums.sums`. */
export const sumsLength = (layers: number, gaps: number): number => windowAt(layers, gaps, layers, 0);

/** Hangs on a pass as its observer, and keeps as many of a row's residual streams as the windows over them need. */
class Scorer implements Observer, Disposable {
  readonly #layers: number;
  readonly #sums: MetricSums;
  readonly #streams = new Map<number, Tensor>();

  constructor(
    private readonly model: Model,
    metric: Metric,
    private readonly gaps: readonly number[],
    from?: readonly number[],
  ) {
    this.#layers = model.layers.length;
    this.#sums = new MetricSums(model.engine, metric, sumsLength(this.#layers, gaps.length), from);
  }

  /** Over the rows that have ended. */
  get sums(): Float64Array {
    return this.#sums.sums;
  }

  subLayer({ layer, kind, before, delta, after, norm }: SubLayerEvent): void {
    this.#sums.add(before, after, parts[kind] * this.#layers + layer);
    this.#sums.add(this.model.engine.rmsNorm(before, norm), delta, parts[`${kind}Bare`] * this.#layers + layer);
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

  /** Takes in a stream that has been measured before. */
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
