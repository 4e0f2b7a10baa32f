import { bytesPerElement, type WeightDType, type WeightSource } from '../../weight.js';
import { roundUp } from './roundUp.js';

/** Rows of a panel, which are columns of a product: two vectors of floats. Kernels for panels count on it. */
export const panelRows = 8;

/**
 * A matrix [rows, depth] as panels of 8 rows, [depth][8] elements each; missing rows of the last panel are zeros. One
 * layout serves products with many rows, with one, and look-ups of a row.
 */
export interface Panels {
  readonly address: number;
  readonly rows: number;
  readonly depth: number;
  /** Bytes from panel to panel, which is more than a panel takes where only a part of the depth is used. */
  readonly stride: number;
  readonly stored: WeightDType;
}

/** Bytes that a weight's panels take. */
export function panelBytes({ shape, dtype }: WeightSource): number {
  const [rows, depth] = shape.slice(-2);
  return (shape.length === 3 ? shape[0] : 1) * roundUp(rows, panelRows) * depth * bytesPerElement[dtype];
}
