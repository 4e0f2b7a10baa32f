import { UserError, type Int4Source } from '../../engine/index.js';
import {
  allRows,
  checkDivides,
  expectGroupIndices,
  expectShape,
  groupCount,
  groupSizeOf,
  madeTensors,
  partName,
  scaleType,
  wordsShape,
  type Int4Layout,
  type Parts,
} from './layout.js';
import {
  bytesOfWords,
  packed,
  quantsOfWords,
  transposed,
  transposedWords,
  unpacked,
  wordsAcross,
  wordsOfBytes,
  wordsOfQuants,
} from './nibbleWords.js';
import { StoredInt4, unordered, type StoredGroups } from './storedInt4.js';

/**
 * compressed-tensors' `pack-quantized` (docs/formats.md, 'compressed-tensors files'): `weight_packed` [out, ceil(in /
 * 8)], eight inputs a word, the order that the engine has too; `weight_scale` [out, groups]; `weight_shape`, [out, in]
 * as numbers; of asymmetric weights `weight_zero_point` [ceil(out / 8), groups], eight outputs a word. `groupSizes` are
 * those that the config names, -1 for a whole row.
 */
export const compressedTensorsLayout = ({ groupSizes }: { groupSizes: readonly number[] }): Int4Layout => ({
  parts: ['weight_packed', 'weight_scale', 'weight_shape', 'weight_zero_point', 'weight_g_idx'],
  required: 3,
  open: (parts) => open(parts, groupSizes),
  write,
});

async function open(parts: Parts, groupSizes: readonly number[]): Promise<StoredInt4> {
  const { name } = parts;
  const [out, across] = wordsShape(parts, 'weight_packed');
  const width = await storedWidth(parts, out, across);
  const { shape: scaleShape } = parts.info('weight_scale')!;
  const count = scaleShape.length === 1 ? 1 : scaleShape[1];
  if (scaleShape.length === 2) expectShape(parts, 'weight_scale', [out, count]);
  else expectShape(parts, 'weight_scale', [out]);
  const size = groupSizeOf(groupSizes, width, count);
  if (size === undefined)
    throw new UserError(
      `${name} has ${count} groups in rows of ${width}, expected groups of ${groupSizes.join(' or ')} as config.json says`,
    );
  const scaleDType = scaleType(parts, 'weight_scale');
  if (parts.info('weight_g_idx')) expectGroupIndices(parts, 'weight_g_idx', width);
  const rowBytes = 4 * across;
  return new StoredInt4(name, [out, width], {
    groupSize: size,
    groups: async () => {
      const bytes = (await parts.read('weight_scale')).slice();
      return {
        count,
        size,
        groupOf: await columnGroups(parts, size, count),
        scales: scaleDType === 'float32' ? new Float32Array(bytes.buffer) : new Uint16Array(bytes.buffer),
        scaleDType,
        zeros: await zeroPoints(parts, out, count),
      };
    },
    quants: async (start, end) =>
      quantsOfWords(wordsOfBytes(await parts.read('weight_packed', start * rowBytes, end * rowBytes)), width),
  });
}

/**
 * The width that `weight_shape` states: the number of words does not tell it, since a row's last word may not be full.
 */
async function storedWidth(parts: Parts, out: number, across: number): Promise<number> {
  const { dtype, shape } = parts.info('weight_shape')!;
  const bytes = await parts.read('weight_shape');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if ((dtype !== 'I64' && dtype !== 'I32') || shape.join() !== '2')
    throw new UserError(
      `tensor ${partName(parts.name, 'weight_shape')} is ${dtype} [${shape.join(',')}], expected I64 [2]`,
    );
  const [rows, width] = [0, 1].map((i) =>
    dtype === 'I64' ? Number(view.getBigInt64(8 * i, true)) : view.getInt32(4 * i, true),
  );
  if (rows !== out || wordsAcross(width) !== across)
    throw new UserError(
      `${parts.name} is [${rows},${width}] by its weight_shape, but its weight_packed is [${out},${across}]`,
      { hint: 'weights of 4 bits are read, 8 of them a word' },
    );
  return width;
}

/** Zero points [out, count], in the range of the integers; older files hold them as bytes from -8. */
async function zeroPoints(parts: Parts, out: number, count: number): Promise<Uint8Array | undefined> {
  const info = parts.info('weight_zero_point');
  if (!info) return undefined;
  const bytes = await parts.read('weight_zero_point');
  if (info.dtype === 'I8') {
    expectShape(parts, 'weight_zero_point', [out, count]);
    return Uint8Array.from(bytes, (zero) => (zero + 8) & 15);
  }
  wordsShape(parts, 'weight_zero_point');
  expectShape(parts, 'weight_zero_point', [wordsAcross(out), count]);
  const values = unpacked(transposedWords(wordsOfBytes(bytes), wordsAcross(out), count));
  return transposed(values, count, 8 * wordsAcross(out)).subarray(0, out * count);
}

/** Zero points [out, count] as words [ceil(out / 8), count]. */
function packedZeros(zeros: Uint8Array, out: number, count: number): Uint32Array {
  const padded = new Uint8Array(8 * wordsAcross(out) * count);
  padded.set(zeros);
  return transposedWords(packed(transposed(padded, 8 * wordsAcross(out), count)), count, wordsAcross(out));
}

async function columnGroups(parts: Parts, size: number, count: number): Promise<StoredGroups['groupOf']> {
  if (!parts.info('weight_g_idx')) return undefined;
  const groupOf = new Int32Array((await parts.read('weight_g_idx')).slice().buffer);
  // The library writes -1 throughout for groups that are not set.
  if (groupOf.every((group) => group === -1)) return undefined;
  if (groupOf.some((group) => !(group >= 0 && group < count)))
    throw new UserError(`tensor ${partName(parts.name, 'weight_g_idx')} names a group beyond its ${count}`);
  return unordered(groupOf, size);
}

function write(source: Int4Source, groupSize: number): ReturnType<Int4Layout['write']> {
  checkDivides('compressed-tensors', source, groupSize, {});
  const [out, width] = source.shape;
  const count = groupCount(width, groupSize);
  const { zeroPoints: asymmetric } = source.format;
  const make = async (): Promise<Record<string, Uint8Array>> => {
    const { quants, scales, zeros } = await allRows(source, groupSize);
    return {
      weight_packed: bytesOfWords(wordsOfQuants(quants, width)),
      weight_scale: bytesOfWords(scales),
      ...(zeros ? { weight_zero_point: bytesOfWords(packedZeros(zeros, out, count)) } : {}),
    };
  };
  const shape = new BigInt64Array([BigInt(out), BigInt(width)]);
  const shapeBytes = new Uint8Array(shape.buffer);
  return [
    { name: partName(source.name, 'weight_shape'), dtype: 'I64', shape: [2], read: () => [shapeBytes] },
    ...madeTensors(source.name, make, [
      {
        part: 'weight_packed',
        dtype: 'I32',
        shape: [out, wordsAcross(width)],
        large: true,
      },
      ...(asymmetric
        ? [
            {
              part: 'weight_zero_point',
              dtype: 'I32',
              shape: [wordsAcross(out), count],
            } as const,
          ]
        : []),
      { part: 'weight_scale', dtype: 'F16', shape: [out, count] },
    ]),
  ];
}
