import type { Progress } from '../progress/index.js';
import { int4Methods } from '../checkpoint/index.js';
import { alphaOption, compensationModes, metricNames, targets } from '../drop/index.js';
import {
  checkOptions,
  createEngine,
  engineOptions,
  flag,
  list,
  oneOf,
  text,
  whole,
  type BackendChoice,
  type Engine,
  type EngineOptions,
} from '../engine/index.js';
import { memoryOption, seedOption, type AdapterOptions } from '../models/index.js';
import { dampingOption, quantizeOptions } from '../quant/index.js';
import { presetNames } from '../tasks/index.js';

/** How far a stage of a job has come: of `total` things that are called `unit` (`rows`, `layers`, `bytes`), `done`. */
export interface JobProgress {
  /** What is being done: `loading`, `scoring`, `writing`. */
  readonly stage: string;
  /** `total` is 0 while the stage's extent is not known, `done` too as it begins; it ends when they are equal. */
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

/** How a job tells what it does, and how it is stopped. */
export interface JobOptions {
  /** Told as work goes on, one stage after the other. What it throws ends the job. */
  readonly onProgress?: (progress: JobProgress) => void;
  /** Told in a sentence what is worth knowing meanwhile: that an interrupted run is continued, say. */
  readonly onNote?: (note: string) => void;
  /** Ends the job with the signal's reason. Where a job keeps its progress, the same call goes on from there. */
  readonly signal?: AbortSignal;
}

/** What a job computes with. */
export interface ComputeOptions extends EngineOptions, AdapterOptions {
  /** An engine that is there already, and stays. @defaultValue a new one of `backend` with the options beside */
  readonly engine?: Engine;
  /** @defaultValue 'wasm' */
  readonly backend?: BackendChoice;
}

/** What options of jobs may be: a name means the same in each. Which go together, each job says itself. */
const jobOptions = {
  ...engineOptions,
  ...quantizeOptions,
  damping: dampingOption,
  out: text,
  overwrite: flag,
  configOnly: flag,
  resume: flag,
  state: text,
  base: text,
  adapter: text,
  calibration: list(text),
  texts: list(text),
  field: text,
  samples: whole(1),
  length: whole(2),
  heldOut: whole(0),
  spread: flag,
  skipRows: whole(0),
  seed: seedOption,
  maxMemory: memoryOption,
  metric: oneOf(metricNames),
  mode: oneOf(compensationModes),
  compensate: oneOf(compensationModes),
  alpha: alphaOption,
  format: oneOf(int4Methods),
  targets: list(oneOf(targets), 1),
  counts: list(whole(1), 1),
  speedRounds: whole(0),
  tasks: list(text, 1),
  preset: oneOf(presetNames),
  shots: whole(0),
  limit: whole(1),
  data: text,
  beside: text,
  stride: whole(1),
  kl: text,
};

/** Refuses a job's option by its name, before any work. */
export const checkJob = (o: JobOptions & { readonly [K in keyof typeof jobOptions]?: unknown }): void =>
  checkOptions(o, jobOptions);

/** Begins a stage, and gives what the work in it tells its progress to. */
export function stageOf({ onProgress, signal }: JobOptions, stage: string): Progress {
  onProgress?.({ stage, done: 0, total: 0, unit: '' });
  return (done, total, unit) => {
    signal?.throwIfAborted();
    onProgress?.({ stage, done, total, unit });
  };
}

/** The engine that was given, or a new one that goes with what is returned. */
export async function engineFor(o: ComputeOptions): Promise<{ readonly engine: Engine } & Disposable> {
  const engine = o.engine ?? (await createEngine(o.backend, o));
  return { engine, [Symbol.dispose]: () => void (o.engine ?? engine.dispose()) };
}
