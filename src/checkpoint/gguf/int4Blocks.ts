import {
  float16ToFloat32,
  float32ToFloat16,
  middle,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
} from '../../engine/index.js';
import type { WrittenType } from './encodeBlocks.js';
import { ggmlTypes } from './ggmlTypes.js';

/**
 * Whether blocks of a type can hold a source's integers: Q4_0 has no zero points but a fixed one of 8
 * (docs/formats.md, 'GGUF blocks').
 */
export const takesInt4 = (type: WrittenType, { format }: Int4Source): type is 'Q4_0' | 'Q4_1' =>
  type === 'Q4_1' || (type === 'Q4_0' && !format.zeroPoints && !format.minima);

/**
 * Int4 rows as blocks of 32 with the same integers: Q4_0 keeps every value, d being the scale; Q4_1 has the minimum
 * as it is, or -scale * zero rounded to float16. `width` is a multiple of 32, as are groups.
 */
export function encodeInt4(
  { quants, scales, zeros, minima }: Int4Rows,
  width: number,
  { groupSize }: Int4Format,
  type: 'Q4_0' | 'Q4_1',
): Uint8Array {
  const { bytes } = ggmlTypes[type];
  const [across, groups] = [width / 32, Math.ceil(width / groupSize)];
  const blocks = (2 * quants.length) / 32;
  const out = new Uint8Array(blocks * bytes);
  const view = new DataView(out.buffer);
  for (let block = 0; block < blocks; block++) {
    const group = Math.floor(block / across) * groups + Math.floor(((block % across) * 32) / groupSize);
    const at = block * bytes;
    view.setUint16(at, scales[group], true);
    if (type === 'Q4_1') {
      const zero = zeros ? zeros[group] : middle;
      const minimum = minima ? minima[group] : float32ToFloat16(-float16ToFloat32(scales[group]) * zero);
      view.setUint16(at + 2, minimum, true);
    }
    // Columns 2 j and 2 j + 1 share a byte here, columns j and j + 16 there.
    const from = 16 * block;
    const to = at + bytes - 16;
    for (let j = 0; j < 8; j++) {
      const [low, high] = [quants[from + j], quants[from + 8 + j]];
      out[to + 2 * j] = (low & 15) | (high << 4);
      out[to + 2 * j + 1] = (low >> 4) | (high & 0xf0);
    }
  }
  return out;
}
