import type { Int8Rows, Int8Source } from '../../engine/index.js';
import type { WrittenType } from './encodeBlocks.js';
import { ggmlTypes } from './ggmlTypes.js';

/** Whether blocks of a type can hold a source's integers (docs/formats.md, 'GGUF blocks'). */
export const takesInt8 = (type: WrittenType, { format }: Pick<Int8Source, 'format'>): type is 'Q8_0' =>
  type === 'Q8_0' && format.groupSize === ggmlTypes.Q8_0.block;

/** Int8 rows of whole groups of 32 as blocks of Q8_0, with the same integers and scales. */
export function encodeInt8({ quants, scales }: Int8Rows): Uint8Array {
  const { block, bytes } = ggmlTypes.Q8_0;
  const out = new Uint8Array(scales.length * bytes);
  const view = new DataView(out.buffer);
  const integers = new Int8Array(out.buffer);
  for (const [i, scale] of scales.entries()) {
    view.setUint16(i * bytes, scale, true);
    integers.set(quants.subarray(i * block, (i + 1) * block), i * bytes + 2);
  }
  return out;
}
