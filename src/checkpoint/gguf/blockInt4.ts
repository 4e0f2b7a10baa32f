import {
  float16ToFloat32,
  float32ToFloat16,
  groupsOf,
  sizeOf,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
  type Shape,
} from '../../engine/index.js';
import { scaleAndMinimum } from './decodeBlocks.js';
import { ggmlTypes, type GgmlType } from './ggmlTypes.js';

/** Takes the blocks at the beginning of a view over into `rows`. */
type Take = (bytes: DataView, rows: Complete, blocks: number) => void;
type Complete = Required<Omit<Int4Rows, 'zeros'>>;

interface Int4Type {
  readonly minima: boolean;
  readonly take: Take;
}

/** The types whose blocks are integers of 4 bits in groups of 32 with a scale, and perhaps a minimum. */
const types: Readonly<Partial<Record<GgmlType, Int4Type>>> = {
  Q4_0: { minima: false, take: q4 },
  Q4_1: { minima: true, take: q4 },
  Q4_K: { minima: true, take: q4k },
};

/**
 * Blocks of 4 bits as groups of 32 with the same integers; undefined for types whose groups the engine does not have. The
 * scales and minima of Q4_K are products, which are rounded to float16: to 11 bits of 17.
 */
export function blockInt4(
  name: string,
  shape: Shape,
  type: GgmlType,
  encodedRows: (start: number, end: number) => Promise<Uint8Array>,
): Int4Source | undefined {
  const found = types[type];
  if (!found || shape.length < 2) return undefined;
  const { minima, take } = found;
  const width = shape[shape.length - 1];
  const format: Int4Format = { groupSize: 32, zeroPoints: false, minima };
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    const bytes = await encodedRows(start, end);
    const groups = (end - start) * groupsOf(width, format);
    const rows = {
      quants: new Uint8Array(16 * groups),
      scales: new Uint16Array(groups),
      minima: new Uint16Array(minima ? groups : 0),
    };
    take(
      new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      rows,
      bytes.byteLength / ggmlTypes[type].bytes,
    );
    return minima ? rows : { quants: rows.quants, scales: rows.scales };
  };
  return { name, shape: [sizeOf(shape.slice(0, -1)), width], dtype: 'int4', format, readInt4 };
}

/** f16 d; perhaps f16 m; 16 bytes, of which byte j holds columns j and j + 16. */
function q4(bytes: DataView, { quants, scales, minima }: Complete, blocks: number): void {
  const size = bytes.byteLength / blocks;
  for (let block = 0; block < blocks; block++) {
    const at = block * size;
    scales[block] = bytes.getUint16(at, true);
    if (minima.length) minima[block] = bytes.getUint16(at + 2, true);
    const from = at + size - 16;
    halves(bytes, from, 16, quants, 16 * block, 16 * block + 8);
  }
}

/** f16 d, m; 12 bytes of scales and minima; four runs of 32 bytes, each of two groups. */
function q4k(bytes: DataView, { quants, scales, minima }: Complete, blocks: number): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * ggmlTypes.Q4_K.bytes;
    const [d, m] = [float16ToFloat32(bytes.getUint16(at, true)), float16ToFloat32(bytes.getUint16(at + 2, true))];
    for (let j = 0; j < 8; j++) {
      const [scale, minimum] = scaleAndMinimum(bytes, at + 4, j);
      scales[8 * block + j] = float32ToFloat16(d * scale);
      minima[8 * block + j] = float32ToFloat16(-m * minimum);
    }
    for (let run = 0; run < 4; run++) {
      const to = 16 * (8 * block + 2 * run);
      halves(bytes, at + 16 + 32 * run, 32, quants, to, to + 16);
    }
  }
}

/** The low halves of `count` bytes, two to a byte, and their high halves. */
function halves(from: DataView, at: number, count: number, to: Uint8Array, low: number, high: number): void {
  for (let j = 0; j < count / 2; j++) {
    const [first, second] = [from.getUint8(at + 2 * j), from.getUint8(at + 2 * j + 1)];
    to[low + j] = (first & 15) | ((second & 15) << 4);
    to[high + j] = (first >> 4) | (second & 0xf0);
  }
}
