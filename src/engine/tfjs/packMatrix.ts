/**
 * Weights as TensorFlow holds them: floats of 16 bits, and integers of 8 and 4 bits, as they are in the file.
 *
 * Legend: N rows, G groups of a row, S weights of a group, P = G S columns, with those that fill the last group.
 */
import { groupsOf, middle, readInt4Rows, type Int4Source } from '../int4.js';
import { readInt8Rows, type Int8Source } from '../int8.js';
import type { Packable } from '../packable.js';
import type { WeightSource } from '../weight.js';
import { packFloats } from './floatMatrix.js';
import type { Tensor, Tf } from './load.js';
import { rowPieces, type Matrix, type Rows } from './matrix.js';
import { PackedMatrix } from './packedMatrix.js';
import { bfloat16, float16, float32, int32, int8, uint8, type TensorFlow, type Type } from './tensorflow.js';

/** Rows of a weight as a matrix, in no more bytes than its source has. */
export function packMatrix(flow: TensorFlow, current: () => Tf, source: Packable, rows: Rows): Promise<Matrix> {
  switch (source.dtype) {
    case 'int4':
      return packInt4(flow, source, rows);
    case 'int8':
      return packInt8(flow, source, rows);
    case 'float32':
      return packFloats(current, source, rows);
    default:
      return packHalves(flow, source, rows);
  }
}

/** Each number is exactly a float32. */
async function packHalves(flow: TensorFlow, source: WeightSource, rows: Rows): Promise<Matrix> {
  const width = source.shape.at(-1)!;
  const count = rows.end - rows.first;
  const bytes = new Uint8Array(2 * width * count);
  for (const { first, end } of rowPieces(rows, width))
    bytes.set(await source.readRows(first, end), 2 * width * (first - rows.first));
  const held = flow.upload(bytes, [count, width], source.dtype === 'float16' ? float16 : bfloat16);
  return new PackedMatrix(flow, [held], bytes.length, width, ([halves]) => flow.cast(halves, float32));
}

/** quants [N, P], scales [N, G, 1] */
async function packInt8(flow: TensorFlow, source: Int8Source, rows: Rows): Promise<Matrix> {
  const { tf } = flow;
  const width = source.shape.at(-1)!;
  const groups = Math.ceil(width / source.format.groupSize);
  const columns = groups * source.format.groupSize;
  const count = rows.end - rows.first;
  const quants = new Int8Array(count * columns);
  const scales = new Uint16Array(count * groups);
  for (const { first, end } of rowPieces(rows, width)) {
    const read = await readInt8Rows(source, first, end);
    scales.set(read.scales, (first - rows.first) * groups);
    for (let row = 0; row < end - first; row++)
      quants.set(read.quants.subarray(row * width, (row + 1) * width), (first - rows.first + row) * columns);
  }
  const [held, perGroup] = [
    flow.upload(bytesOf(quants), [count, columns], int8),
    flow.upload(bytesOf(scales), [count, groups, 1], float16),
  ];
  const unpack = ([q, scale]: readonly Tensor[]): Tensor =>
    joined(flow, tf.mul(inGroups(flow, q, groups), flow.cast(scale, float32)), width);
  return new PackedMatrix(flow, [held, perGroup], quants.byteLength + scales.byteLength, width, unpack);
}

/**
 * quants [N, P / 2]: column i < P / 2 in the low half of byte i, column i + P / 2 in its high half, so that the halves need
 * only be put side by side; scales, zeros and minima [N, G, 1].
 */
async function packInt4(flow: TensorFlow, source: Int4Source, rows: Rows): Promise<Matrix> {
  const { tf } = flow;
  const { format } = source;
  const width = source.shape.at(-1)!;
  const groups = groupsOf(width, format);
  const half = (groups * format.groupSize) / 2;
  const count = rows.end - rows.first;
  const quants = new Uint8Array(count * half);
  const scales = new Uint16Array(count * groups);
  const zeros = new Uint8Array(format.zeroPoints ? count * groups : 0);
  const minima = new Uint16Array(format.minima ? count * groups : 0);
  for (const { first, end } of rowPieces(rows, width)) {
    const read = await readInt4Rows(source, first, end);
    const at = first - rows.first;
    split(read.quants, width, quants.subarray(at * half), half);
    scales.set(read.scales, at * groups);
    if (format.zeroPoints) zeros.set(read.zeros!, at * groups);
    if (format.minima) minima.set(read.minima!, at * groups);
  }
  const perGroup = (values: Uint8Array | Uint16Array, as: Type): Tensor =>
    flow.upload(bytesOf(values), [count, groups, 1], as);
  const held = [flow.upload(quants, [count, half], uint8), perGroup(scales, float16)];
  if (format.minima) held.push(perGroup(minima, float16));
  else if (format.zeroPoints) held.push(perGroup(zeros, uint8));
  const bytes = quants.length + scales.byteLength + (format.minima ? minima.byteLength : zeros.length);

  const unpack = ([q, ...ofGroups]: readonly Tensor[]): Tensor => {
    const [scale, own] = ofGroups.map((tensor) => flow.cast(tensor, float32));
    const values = inGroups(flow, sideBySide(flow, q), groups);
    const weights = format.minima
      ? tf.add(tf.mul(values, scale), own)
      : tf.mul(tf.sub(values, format.zeroPoints ? own : middle), scale);
    return joined(flow, weights, width);
  };
  return new PackedMatrix(flow, held, bytes, width, unpack);
}

/** Rows of int4, two columns a byte with the even one low, as `packInt4` lays them out. */
function split(quants: Uint8Array, width: number, into: Uint8Array, half: number): void {
  const rowBytes = Math.ceil(width / 2);
  for (let row = 0; row * rowBytes < quants.length; row++)
    for (let column = 0; column < width; column++) {
      const value = (quants[row * rowBytes + (column >> 1)] >> (4 * (column & 1))) & 15;
      if (column < half) into[row * half + column] |= value;
      else into[row * half + column - half] |= value << 4;
    }
}

/** [N, P / 2] of two halves a byte -> [N, P], uint8 */
function sideBySide(flow: TensorFlow, quants: Tensor): Tensor {
  const constant = (value: number): Tensor => flow.upload(Uint8Array.of(value), [], uint8);
  const low = flow.run('BitwiseAnd', [quants, constant(15)], { T: uint8 });
  const high = flow.run('RightShift', [quants, constant(4)], { T: uint8 });
  return flow.run('ConcatV2', [low, high, flow.tf.scalar(1, 'int32')], { N: 2, T: uint8, Tidx: int32 });
}

/** Integers [N, P] -> [N, G, S] float32 */
const inGroups = (flow: TensorFlow, quants: Tensor, groups: number): Tensor =>
  flow.tf.reshape(flow.cast(quants, float32), [quants.shape[0], groups, quants.shape[1]! / groups]);

/** [N, G, S] -> [N, columns], without what fills the last group */
function joined({ tf }: TensorFlow, weights: Tensor, columns: number): Tensor {
  const [rows, groups, size] = weights.shape as [number, number, number];
  const all = tf.reshape(weights, [rows, groups * size]);
  return groups * size === columns ? all : tf.slice(all, [0, 0], [-1, columns]);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int8Array | Uint8Array | Uint16Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
