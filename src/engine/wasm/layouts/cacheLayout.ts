import type { CacheSpec } from '../../kvCache.js';
import { panelRows } from './panels.js';
import { roundUp } from './roundUp.js';

/**
 * Keys and values of a layer, laid out as right sides of products, so that attention is two of them. Per slot and head:
 * keys in panels of 8 keys, [d][8] each; then values in panels of 8 elements, [capacity][8] each.
 */
export interface Layout {
  /** A multiple of 8. */
  readonly capacity: number;
  readonly heads: number;
  readonly size: number;
  /** The size rounded up to 8. */
  readonly padded: number;
  /** Bytes per element. */
  readonly bytes: 2 | 4;
}

export const layoutOf = (capacity: number, heads: number, size: number, dtype: CacheSpec['dtype']): Layout => ({
  capacity: roundUp(capacity, panelRows),
  heads,
  size,
  padded: roundUp(size, panelRows),
  bytes: dtype === 'float16' ? 2 : 4,
});

export const keyBytes = ({ capacity, size, bytes }: Layout): number => capacity * size * bytes;
const valueBytes = ({ capacity, padded, bytes }: Layout): number => capacity * padded * bytes;
export const headBytes = (layout: Layout): number => keyBytes(layout) + valueBytes(layout);

/** Bytes of a layer's keys and values. */
export function cacheLayerBytes({ slots, capacity, keyValueHeads, headDim, dtype }: CacheSpec): number {
  const layout = layoutOf(capacity, keyValueHeads, headDim, dtype);
  return slots * layout.heads * headBytes(layout);
}
