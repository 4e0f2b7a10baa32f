import type { Int8Source } from '../../../int8.js';
import type { Machine } from '../../runtime/machine.js';
import { integerProduct } from '../integerProduct.js';
import { rowMajor } from '../packRows.js';
import { quantizeRows } from '../quantizedRows.js';
import { int8Form } from './int8Product.js';
import { packInt8 } from './packInt8.js';

const groupSize = 32;
const [rows, width, out] = [7, 2 * groupSize + 8, 21];

/**
 * Integers that look random, of which a group's sum is exact in float32; a group's first is 32767, so that its scale is
 * 1.
 */
const activation = (row: number, i: number): number =>
  i % groupSize === 0 ? 32767 : ((row * 7919 + i * 104729) % 4001) - 2000;
const weight = (row: number, i: number): number =>
  i % groupSize === 0 ? (row % 3) - 1 : ((row * 31 + i * 17) % 256) - 128;

/** Whether a machine multiplies int8 weights right on this system: see `int4Right`. */
export async function int8Right(machine: Machine, times = 1): Promise<boolean> {
  const quants = Int8Array.from({ length: out * width }, (_, i) => weight(Math.floor(i / width), i % width));
  // A scale of 1 in float16.
  const scales = new Uint16Array(out * Math.ceil(width / groupSize)).fill(0x3c00);
  const source: Int8Source = {
    name: 'self-test',
    shape: [out, width],
    dtype: 'int8',
    format: { groupSize },
    readInt8: async () => ({ quants, scales }),
  };
  const storage = await packInt8(machine, source);
  const form = int8Form(machine.plan, groupSize);
  const activations = Float32Array.from({ length: rows * width }, (_, i) =>
    activation(Math.floor(i / width), i % width),
  );
  const sums = expected();
  try {
    for (let time = 0; time < times; time++)
      for (const count of [1, rows]) {
        using frame = machine.memory.frame();
        const [x, y] = [frame.take(4 * count * width), frame.take(4 * count * out)];
        machine.memory.floats(x, count * width).set(activations.subarray(0, count * width));
        const left = quantizeRows(machine, frame, rowMajor(x, count, width), form);
        integerProduct(machine, left, storage.matrices[0], y);
        if (machine.memory.floats(y, count * out).some((value, i) => value !== sums[i])) return false;
      }
  } finally {
    storage.free();
  }
  return true;
}

/** [rows, out] */
const expected = (): number[] =>
  Array.from({ length: rows * out }, (_, at) => {
    const [row, column] = [Math.floor(at / out), at % out];
    let sum = 0;
    for (let i = 0; i < width; i++) sum += activation(row, i) * weight(column, i);
    return sum;
  });
