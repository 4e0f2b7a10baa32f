import type { Int4Source } from '../../../int4.js';
import type { Machine } from '../../runtime/machine.js';
import { rowMajor } from '../packRows.js';
import { integerProduct } from '../integerProduct.js';
import { quantizeRows } from '../quantizedRows.js';
import { int4Form } from './int4Product.js';
import { packInt4 } from './packInt4.js';

const groupSize = 32;
const [rows, width, out] = [7, 3 * groupSize + 8, 21];
const groups = Math.ceil(width / groupSize);

/** Integers that look random, from -127 to 127; a group's first is 127, so that the group's scale is 1. */
const activation = (row: number, i: number): number =>
  i % groupSize === 0 ? 127 : ((row * 7919 + i * 104729) % 255) - 127;
const nibble = (row: number, i: number): number => (row * 31 + i * 17 + (row ^ i)) & 15;

/**
 * Whether a machine's plan computes right on this system. It multiplies integers, whose results are exact. For tiers
 * that compilers have been known to get wrong. One run is not enough, since code is compiled again when it is hot.
 */
export async function int4Right(machine: Machine, times = 1): Promise<boolean> {
  const quants = new Uint8Array((out * width) / 2);
  for (let row = 0; row < out; row++)
    for (let i = 0; i < width; i++) quants[(row * width + i) >> 1] |= nibble(row, i) << (4 * (i % 2));
  // A scale of 1 in float16.
  const scales = new Uint16Array(out * groups).fill(0x3c00);
  const zeros = Uint8Array.from({ length: out * groups }, (_, i) => i & 15);
  const activations = Float32Array.from({ length: rows * width }, (_, i) =>
    activation(Math.floor(i / width), i % width),
  );
  for (const zeroPoints of [false, true]) {
    const source: Int4Source = {
      name: 'self-test',
      shape: [out, width],
      dtype: 'int4',
      format: { groupSize, zeroPoints },
      readInt4: async () => ({ quants, scales, zeros: zeroPoints ? zeros : undefined }),
    };
    const sums = expected(zeroPoints ? zeros : undefined);
    const storage = await packInt4(machine, source);
    try {
      const [right] = storage.matrices;
      const form = int4Form(machine.int4, groupSize);
      for (let time = 0; time < times; time++)
        for (const count of [1, rows]) {
          using frame = machine.memory.frame();
          const x = frame.take(4 * count * width);
          const y = frame.take(4 * count * out);
          machine.memory.floats(x, count * width).set(activations.subarray(0, count * width));
          integerProduct(machine, quantizeRows(machine, frame, rowMajor(x, count, width), form), right, y);
          if (machine.memory.floats(y, count * out).some((value, i) => value !== sums[i])) return false;
        }
    } finally {
      storage.free();
    }
  }
  return true;
}

/** [rows, out] */
const expected = (zeros: Uint8Array | undefined): number[] =>
  Array.from({ length: rows * out }, (_, at) => {
    const [row, column] = [Math.floor(at / out), at % out];
    let sum = 0;
    for (let i = 0; i < width; i++) {
      const zero = zeros ? zeros[column * groups + Math.floor(i / groupSize)] : 8;
      sum += activation(row, i) * (nibble(column, i) - zero);
    }
    return sum;
  });
