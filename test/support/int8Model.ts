import type { Shape } from '../../src/engine/errors.js';
import { float16ToFloat32 } from '../../src/engine/halfFloat.js';
import type { Int8Format, Int8Rows, Int8Source } from '../../src/engine/int8.js';
import { sizeOf } from '../../src/engine/tensor.js';
import { random } from './backends.js';
import { quantizeGroup } from './int4Model.js';

/**
 * What the wasm backend computes with int8 weights, [rows, out]: activations of 16 bits, integers summed exactly within a
 * group, groups in order in float32. The kernels must give the same bits.
 */
export function int8Model(x: Float32Array, weights: Int8Rows, width: number, { groupSize }: Int8Format): Float32Array {
  const rows = x.length / width;
  const groups = Math.ceil(width / groupSize);
  const out = weights.quants.length / width;
  const y = new Float32Array(rows * out);
  for (let row = 0; row < rows; row++) {
    const input = Array.from({ length: groups }, (_, group) => {
      const from = row * width + group * groupSize;
      return quantizeGroup(x.subarray(from, Math.min((row + 1) * width, from + groupSize)), 32767);
    });
    for (let o = 0; o < out; o++) {
      let total = 0;
      input.forEach(({ q, scale }, group) => {
        const sum = q.reduce((all, value, i) => all + value * weights.quants[o * width + group * groupSize + i], 0);
        const factor = Math.fround(scale * float16ToFloat32(weights.scales[o * groups + group]));
        total = Math.fround(total + Math.fround(Math.fround(sum) * factor));
      });
      y[row * out + o] = total;
    }
  }
  return y;
}

/** Random integers and scales of many sizes, some negative, some subnormal; the same for the same seed. */
export function int8RowsOf(seed: number, rows: number, width: number, { groupSize }: Int8Format): Int8Rows {
  const groups = Math.ceil(width / groupSize);
  const kind = random(seed + 1, [rows * groups]);
  return {
    quants: Int8Array.from(random(seed + 2, [rows * width], 128), Math.floor),
    scales: Uint16Array.from(random(seed + 3, [rows * groups]), (value, i) => {
      const bits = Math.floor(((value + 1) / 2) * 0x1000);
      return (kind[i] > 0 ? 0x8000 : 0) | (Math.abs(kind[i]) < 0.1 ? bits & 0x7ff : 0x1800 + bits);
    }),
  };
}

/** A source of rows in memory, from row `first` on. */
export function int8Source(
  name: string,
  shape: Shape,
  format: Int8Format,
  { quants, scales }: Int8Rows,
  first = 0,
): Int8Source {
  const width = shape[shape.length - 1];
  const groups = Math.ceil(width / format.groupSize);
  return {
    name,
    shape,
    dtype: 'int8',
    format,
    readInt8: async (start, end) => ({
      quants: quants.subarray((first + start) * width, (first + end) * width),
      scales: scales.subarray((first + start) * groups, (first + end) * groups),
    }),
  };
}

/** A random weight, the same for the same seed. */
export function int8Weight(seed: number, shape: Shape, format: Int8Format, name = 'weight') {
  const rows = int8RowsOf(seed, sizeOf(shape.slice(0, -1)), shape[shape.length - 1], format);
  return { rows, source: int8Source(name, shape, format, rows) };
}
