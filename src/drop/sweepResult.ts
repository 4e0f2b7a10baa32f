import type { Drops, ModelSize } from '../models/index.js';
import type { GreedyStep } from './greedy.js';
import type { Importance } from './importance.js';
import type { Target } from './select.js';

/** Loss in nats a token, and how near the outputs are to the whole model's. */
export interface Quality {
  readonly loss: number;
  readonly perplexity: number;
  /** Mean KL divergence from the whole model, in nats. */
  readonly divergence: number;
  /** Share of positions at which the likeliest token is the whole model's. */
  readonly agreement: number;
}

export interface TextQuality extends Quality {
  readonly name: string;
  readonly rows: number;
}

/** One model of a curve: over all texts, and on each. */
export interface MeasuredModel extends Quality, ModelSize {
  readonly drops: Drops;
  readonly texts: readonly TextQuality[];
  /** Of greedy decoding with a key-value cache; null where it was not measured. */
  readonly tokensPerSecond: number | null;
}

/** The model as it was before the sweep, which all points are held against. */
export interface WholeModel extends MeasuredModel {
  readonly rowLosses: readonly number[];
}

export interface SweepPoint extends MeasuredModel {
  readonly target: Target;
  readonly count: number;
  /** Loss less the whole model's, paired over the rows, and its standard error; null with a single row. */
  readonly difference: number;
  readonly standardError: number | null;
  /** Speed over the whole model's, both measured in turns for this point; null where it was not measured. */
  readonly speedup: number | null;
}

/** All that a sweep has found so far: enough to go on from. */
export interface SweepState {
  readonly whole?: WholeModel;
  /** The scores of a choice by scores: one scoring serves all points. */
  readonly importance?: Importance;
  /** The steps of greedy searches: one search for each target, of which the choice for every count is the beginning. */
  readonly steps: Readonly<Partial<Record<Target, readonly GreedyStep[]>>>;
  /** By target and count. */
  readonly points: readonly SweepPoint[];
}

/** A sweep at its end. */
export type SweepResult = SweepState & { readonly whole: WholeModel };

/** What a sweep has found so far; it tells of every change. */
export class SweepFindings {
  constructor(
    public state: SweepState,
    private readonly onChange?: (state: SweepState) => void | Promise<void>,
  ) {}

  async add(found: Partial<SweepState>): Promise<void> {
    this.state = { ...this.state, ...found };
    await this.onChange?.(this.state);
  }
}
