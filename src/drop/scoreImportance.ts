import { UserError, checkOptions, oneOf, type Tensor } from '../engine/index.js';
import { expertCount, memoryNeeds, memoryOption, type Model } from '../models/index.js';
import type { SavedProgress } from '../progress/index.js';
import { PeriodicSaver } from '../progress/periodicSaver.js';
import {
  streamRows,
  statesBeside,
  walkRows,
  type HiddenStates,
  type StreamPosition,
  type WalkOptions,
} from '../walk/index.js';
import { importanceOf, type Importance } from './importance.js';
import { cosine, type Metric } from './metric.js';
import { ScoreObserver } from './scoreObserver.js';
import type { ScoreSums } from './scoreSums.js';

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
 * sums (LLM-Drop, section 3; the official code keeps all hidden states and makes a pass for each target). In the same pass
 * it counts what the experts of mixtures do. A model that is not loaded is streamed, a layer at a time, to the same scores.
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
  checkOptions(options, { maxMemory: memoryOption, spill: oneOf(['always', 'auto']) });
  if (rows.length === 0) throw new UserError('scoring needs at least one calibration row');
  const metric = options.metric ?? cosine;
  const gaps = checkedGaps(options.gaps ?? defaultGaps(model), model.layers.length);
  const experts = expertCount(model.description);
  using observer = new ScoreObserver(model, metric, gaps, options.progress?.previous?.sums);
  if (model.isLoaded) await scoreLoaded(model, rows, observer, options);
  else await scoreStreamed(model, rows, observer, gaps, options);
  return {
    metric: metric.name,
    samples: rows.length,
    length: rows[0].length,
    tokens: rows.reduce((sum, { length }) => sum + length, 0),
    layers: model.layers.length,
    gaps,
    drop: model.drops,
    ...(experts > 0 && { experts }),
    sums: Array.from(observer.sums),
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
  observer: ScoreObserver,
  options: ScoreOptions,
): Promise<void> {
  const { onProgress, progress } = options;
  const done = progress?.previous?.next.row ?? 0;
  const saver = new PeriodicSaver(progress);
  await saver.around(() =>
    walkRows(
      model,
      rows.slice(done),
      { ...options, observer, onProgress: (row) => onProgress?.(done + row, rows.length, 'rows') },
      async (_, row) => {
        await observer.endRow();
        await saver.reached(stateOf(observer, { layer: 0, row: done + row + 1 }));
      },
    ),
  );
}

async function scoreStreamed(
  model: Model,
  rows: readonly Int32Array[],
  observer: ScoreObserver,
  gaps: readonly number[],
  options: ScoreOptions,
): Promise<void> {
  const { progress } = options;
  using states = roomForStates(model, rows, gaps, options);
  const saver = new PeriodicSaver(progress, () => states.sync());
  const onRow = async (next: StreamPosition): Promise<void> => {
    await observer.endRow();
    // After a layer, its inputs are freed. Saved at once, so that the last saved state does not need them.
    await saver.reached(stateOf(observer, next), next.row === 0);
  };
  const recall = (layer: number, hidden: Tensor): void => observer.recall(layer, hidden);
  await saver.around(() =>
    streamRows(model, rows, {
      ...options,
      observer,
      states,
      gaps,
      recall,
      onRow,
      from: progress?.previous?.next,
    }),
  );
}

const stateOf = ({ sums }: ScoreObserver, next: StreamPosition): ScoreState => ({ next, sums: Array.from(sums) });

/** A run that is to be continued later keeps them on the disk. */
const roomForStates = (
  model: Model,
  rows: readonly Int32Array[],
  gaps: readonly number[],
  { maxMemory, spill, progress, temporary }: ScoreOptions,
): HiddenStates =>
  statesBeside(model, rows, {
    ...{ maxMemory, spill, temporary, kept: progress?.folder },
    loaded: memoryNeeds(model, 1).layer,
    // Kept at a time: what enters the layer, what leaves it, and what longer windows still need.
    streams: 2 + Math.max(...gaps) - 1,
  });
