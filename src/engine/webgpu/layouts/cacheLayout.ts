/** Keys, or values, of one layer: [slots, capacity, key-value heads, d], every head padded to a multiple of four. */
import type { CacheSpec } from '../../kvCache.js';

export type CacheType = CacheSpec['dtype'];

/** Four elements of a head as a kernel reads them. */
export const fourOf = (dtype: CacheType): 'vec4f' | 'vec2u' => (dtype === 'float32' ? 'vec4f' : 'vec2u');

export const foursOf = (headDim: number): number => Math.ceil(headDim / 4);

/** Bytes of the keys (or the values) of `rows` tokens. */
export const rowsBytes = (
  rows: number,
  { keyValueHeads, headDim, dtype }: Pick<CacheSpec, 'keyValueHeads' | 'headDim' | 'dtype'>,
): number => rows * keyValueHeads * foursOf(headDim) * (dtype === 'float32' ? 16 : 8);
