import type { Drops } from '../models/index.js';

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
  /** Experts of each mixture. @defaultValue 0: no layer is one */
  readonly experts?: number;
  /**
   * By layer: attention, MLP, both without the residual; then by layer and gap the windows; then by layer what the experts
   * do, as `ExpertTally` has it.
   */
  readonly sums: readonly number[];
}

/** The order of the parts of `ScoreSums.sums` that have a number for each layer. */
const parts = ['attention', 'mlp', 'attentionBare', 'mlpBare'] as const;

/** Where a layer's number of such a part lies. */
export const partAt = (part: (typeof parts)[number], layers: number, layer: number): number =>
  parts.indexOf(part) * layers + layer;

/** Where the number of the window from `layer` on lies; `gap` is an index into `gaps`, which has `gaps` lengths. */
export const windowAt = (layers: number, gaps: number, layer: number, gap: number): number =>
  parts.length * layers + layer * gaps + gap;

/** Where the numbers of a layer's experts lie, 3 for each. */
export const expertsAt = (layers: number, gaps: number, experts: number, layer: number): number =>
  windowAt(layers, gaps, layers, 0) + layer * 3 * experts;

/** Numbers in `ScoreSums.sums`. */
export const sumsLength = (layers: number, gaps: number, experts = 0): number =>
  expertsAt(layers, gaps, experts, layers);
