import { groupsOf, sizeOf, type Int4Format, type Int4Rows, type Int4Source, type Shape } from '../../engine/index.js';
import { ggmlTypes, type GgmlType } from './ggmlTypes.js';

/**
 * Blocks of 4 bits as groups of 32 with the same integers and scales; undefined for types whose groups the engine does
 * not have.
 */
export function blockInt4(
  name: string,
  shape: Shape,
  type: GgmlType,
  encodedRows: (start: number, end: number) => Promise<Uint8Array>,
): Int4Source | undefined {
  if (type !== 'Q4_0' || shape.length < 2) return undefined;
  const width = shape[shape.length - 1];
  const format: Int4Format = { groupSize: 32, zeroPoints: false };
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> =>
    q4Rows(await encodedRows(start, end), (end - start) * groupsOf(width, format));
  return { name, shape: [sizeOf(shape.slice(0, -1)), width], dtype: 'int4', format, readInt4 };
}

function q4Rows(bytes: Uint8Array, groups: number): Int4Rows {
  const size = ggmlTypes.Q4_0.bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const quants = new Uint8Array(16 * groups);
  const scales = new Uint16Array(groups);
  for (let group = 0; group < groups; group++) {
    const at = group * size;
    scales[group] = view.getUint16(at, true);
    interleave(bytes, at + 2, quants, 16 * group);
  }
  return { quants, scales };
}

/** Columns j and j + 16 share a byte there, columns 2 j and 2 j + 1 here. */
function interleave(from: Uint8Array, at: number, to: Uint8Array, start: number): void {
  for (let j = 0; j < 8; j++) {
    const [first, second] = [from[at + 2 * j], from[at + 2 * j + 1]];
    to[start + j] = (first & 15) | ((second & 15) << 4);
    to[start + 8 + j] = (first >> 4) | (second & 0xf0);
  }
}
