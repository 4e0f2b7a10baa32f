import type { Progress } from '../progress/index.js';
import type { MethodRequest } from './method.js';
import type { Target } from './select.js';
import type { SweepState } from './sweepResult.js';

/** How a sweep chooses: the options of `drop` that do not depend on target and count. */
export type SweepMethod = Pick<MethodRequest, 'metric' | 'search' | 'seed' | 'keep'>;

/** What a sweep does goes in stages: choosing by scores, searching, measuring a point. */
export interface StageOptions {
  /** Told what is being done, and how far it is. */
  readonly stage?: (name: string) => Progress;
  readonly signal?: AbortSignal;
}

export interface SpeedOptions {
  /** Measure decoding speed. @defaultValue true */
  readonly speed?: boolean;
  /** Tokens decoded in a run, and runs of either model for each point. @defaultValue 16 and 5 */
  readonly speedTokens?: number;
  readonly speedRounds?: number;
}

export interface SweepOptions extends SweepMethod, SpeedOptions, StageOptions {
  readonly targets: readonly Target[];
  /** Modules, or blocks, of each target. */
  readonly counts: readonly number[];
  /** What an earlier run of the same sweep has found: taken as done. */
  readonly done?: SweepState;
  /** Called whenever something is found, to save it. */
  readonly onChange?: (state: SweepState) => void | Promise<void>;
}

/** A stage's options for what takes a walk's. */
export const walkOptions = (
  { stage, signal }: StageOptions,
  name: string,
): { onProgress?: Progress; signal?: AbortSignal } => ({ onProgress: stage?.(name), signal });
