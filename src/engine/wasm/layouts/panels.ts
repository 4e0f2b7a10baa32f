import { bytesPerElement, type WeightDType, type WeightSource } from '../../weight.js';
import { roundUp } from './roundUp.js';

/**
 * A matrix [rows, depth] as panels of 8 rows, [depth][8] elements each; rows that lack in the last are zeros. One layout
 * serves products with many rows, with one, and look-ups of a row.
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
  return (shape.length === 3 ? shape[0] : 1) * roundUp(rows, 8) * depth * bytesPerElement[dtype];
}
