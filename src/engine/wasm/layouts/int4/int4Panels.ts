import type { Shape } from '../../../errors.js';
import { groupsOf, type Int4Format, type Int4Source } from '../../../int4.js';

/**
 * Rows of a panel. A single row of activations is multiplied with all of them at once, so that weights are read
 * strictly in order.
 */
export const int4PanelRows = 16;

/** Its vectors of 4 rows, and the bytes of a word of 8 weights of each row. */
export const panelVectors = Array.from({ length: int4PanelRows / 4 }, (_, j) => j);
export const stepBytes = 4 * int4PanelRows;

/** Weights of a row that lie side by side, whatever the group size; rows are padded to a multiple of it. */
export const blockWidth = 32;

/** Bytes of a block of a panel. */
export const blockBytes = (int4PanelRows * blockWidth) / 2;

/** Bytes of a group's scales (float16) for a panel, as many as of its minima, and of its zero points. */
export const scaleBytes = 2 * int4PanelRows;
export const zeroBytes = int4PanelRows;

/** Bytes behind a group's weights: its scales, and its minima if it has any. */
export const tailBytes = (minima: boolean): number => (minima ? 2 : 1) * scaleBytes;

/**
 * A matrix [rows, depth] of int4 weights as panels of 16 rows. Along the depth, groups of `group` blocks of 32 weights,
 * the last perhaps of fewer: 256 bytes a block, then the group's 16 scales, and its 16 minima, where there are any, as
 * float16 with the sign turned: what is subtracted. Zero points, where there are any, are bytes [panels][groups][16] of
 * their own.
 */
export interface Int4Panels {
  readonly address: number;
  /** Zero points; 0 without any. */
  readonly zeros: number;
  readonly minima: boolean;
  readonly rows: number;
  readonly depth: number;
  readonly groupSize: Int4Format['groupSize'];
  readonly blocks: number;
  /** Blocks of a group. */
  readonly group: number;
  readonly groups: number;
  /** Bytes from panel to panel. */
  readonly stride: number;
}

/** Bytes that an int4 weight takes. */
export function int4Bytes({ shape, format }: Pick<Int4Source, 'shape' | 'format'>): number {
  const { count, panels, stride, groups } = int4Layout(shape, format);
  return count * panels * (stride + (format.zeroPoints ? zeroBytes * groups : 0));
}

/** Sizes of each of a weight's matrices, how many panels one has, and how many matrices there are. */
export function int4Layout(shape: Shape, format: Int4Format) {
  const [rows, depth] = shape.slice(-2);
  const { groupSize, minima = false } = format;
  const blocks = Math.ceil(depth / blockWidth);
  const groups = groupsOf(depth, format);
  const stride = blocks * blockBytes + groups * tailBytes(minima);
  return {
    count: shape.length === 3 ? shape[0] : 1,
    panels: Math.ceil(rows / int4PanelRows),
    rows,
    depth,
    groupSize,
    blocks,
    group: groupSize / blockWidth,
    groups,
    stride,
    minima,
  };
}

/** Rows [first, first + rows) of panels; `first` is a multiple of 16. */
export function int4Stripe(panels: Int4Panels, first: number, rows: number): Int4Panels {
  const { address, zeros, stride, groups } = panels;
  return {
    ...panels,
    rows,
    address: address + (first / int4PanelRows) * stride,
    zeros: zeros && zeros + (first / int4PanelRows) * groups * zeroBytes,
  };
}
