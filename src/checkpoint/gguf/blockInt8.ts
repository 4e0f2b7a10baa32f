import { float32ToFloat16, sizeOf, type Int8Rows, type Int8Source, type Shape } from '../../engine/index.js';
import { ggmlTypes, type GgmlType } from './ggmlTypes.js';
import { grouped, half, type Grouped } from './groupedBlocks.js';

/**
 * Blocks of up to 8 bits as groups of the same integers, one a byte; undefined for types whose groups the engine does not
 * have. Scales that are products (of Q3_K and Q6_K) are rounded to float16: to 11 bits of up to 18.
 */
export function blockInt8(
  name: string,
  shape: Shape,
  type: GgmlType,
  encodedRows: (start: number, end: number) => Promise<Uint8Array>,
): Int8Source | undefined {
  const layout: Grouped | undefined = type in grouped ? grouped[type as keyof typeof grouped] : undefined;
  if (!layout || shape.length < 2) return undefined;
  const width = shape[shape.length - 1];
  const format = { groupSize: layout.group };
  const readInt8 = async (start: number, end: number): Promise<Int8Rows> =>
    integers(await encodedRows(start, end), ggmlTypes[type], layout);
  return { name, shape: [sizeOf(shape.slice(0, -1)), width], dtype: 'int8', format, readInt8 };
}

function integers(
  bytes: Uint8Array,
  { block, bytes: size }: { readonly block: number; readonly bytes: number },
  { group, scale, integer }: Grouped,
): Int8Rows {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = (bytes.byteLength / size) * block;
  const quants = new Int8Array(count);
  const scales = new Uint16Array(count / group);
  for (let at = 0, first = 0; first < count; at += size, first += block) {
    // A block's only scale is a float16 at its beginning.
    if (scale === half) scales[first / group] = view.getUint16(at, true);
    else for (let j = 0; j < block / group; j++) scales[first / group + j] = float32ToFloat16(scale(view, at, j));
    for (let e = 0; e < block; e++) quants[first + e] = integer(view, at, e);
  }
  return { quants, scales };
}
