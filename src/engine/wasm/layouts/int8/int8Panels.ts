import type { Shape } from '../../../errors.js';
import type { Int8Format, Int8Source } from '../../../int8.js';

/** Rows of a panel. A single row of activations is multiplied with all of them at once, so that weights are read in order. */
export const int8PanelRows = 16;

/** Its vectors of 4 rows. */
export const panelVectors = Array.from({ length: int8PanelRows / 4 }, (_, j) => j);

/** Bytes of a step: two weights, neighbours along the depth, of each row. */
export const stepBytes = 2 * int8PanelRows;

/** Bytes of a group's scales (float16) for a panel. */
export const scaleBytes = 2 * int8PanelRows;

/** Bytes of a group of a panel: its weights, then their scales. */
export const groupBytes = (groupSize: number): number => int8PanelRows * groupSize + scaleBytes;

/**
 * A matrix [rows, depth] of int8 weights as panels of 16 rows. Along the depth, groups of steps of 2 weights of each row,
 * behind each group its 16 scales; rows are padded to whole groups with zeros.
 */
export interface Int8Panels {
  readonly stored: 'int8';
  readonly address: number;
  readonly rows: number;
  readonly depth: number;
  readonly groupSize: Int8Format['groupSize'];
  readonly groups: number;
  /** Bytes from panel to panel. */
  readonly stride: number;
}

/** Sizes of each of a weight's matrices, how many panels one has, and how many matrices there are. */
export function int8Layout(shape: Shape, { groupSize }: Int8Format) {
  const [rows, depth] = shape.slice(-2);
  const groups = Math.ceil(depth / groupSize);
  return {
    stored: 'int8' as const,
    count: shape.length === 3 ? shape[0] : 1,
    panels: Math.ceil(rows / int8PanelRows),
    rows,
    depth,
    groupSize,
    groups,
    stride: groups * groupBytes(groupSize),
  };
}

/** Bytes that an int8 weight takes. */
export function int8Bytes({ shape, format }: Pick<Int8Source, 'shape' | 'format'>): number {
  const { count, panels, stride } = int8Layout(shape, format);
  return count * panels * stride;
}

/** Rows [first, first + rows) of panels; `first` is a multiple of 16. */
export const int8Stripe = (panels: Int8Panels, first: number, rows: number): Int8Panels => ({
  ...panels,
  rows,
  address: panels.address + (first / int8PanelRows) * panels.stride,
});
