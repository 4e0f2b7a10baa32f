/** A short check of the products: a driver may compile a kernel and still get it wrong. */
import { arraySource } from '../../arraySource.js';
import type { Operand } from '../../backend.js';
import type { WeightDType } from '../../weight.js';
import type { Machine } from '../runtime/machine.js';
import { floatsOf } from './matrices.js';
import { packWeight } from './packWeight.js';
import { project } from './product.js';

const [rows, depth, columns] = [13, 98, 40];

const integer = (i: number): number => ((i * 7919) % 15) - 7;
const x = Float32Array.from({ length: rows * depth }, (_, i) => integer(i));
/** Every other column small enough that as float16 its numbers are subnormal. */
const w = Float32Array.from(
  { length: columns * depth },
  (_, i) => integer(i + 3) * (Math.floor(i / depth) % 2 ? 2 ** -20 : 1),
);

/** Whether products are computed, and give what they should: of small integers, so that every sum is exact. */
export async function passesSelfTest(machine: Machine): Promise<boolean> {
  try {
    for (const dtype of ['float32', 'bfloat16', 'float16'] as const)
      if (!(await productsRight(machine, dtype))) return false;
    return true;
  } catch {
    return false; // a kernel that the driver refuses, or that loses the device
  }
}

/** Of all rows, and of one. */
async function productsRight(machine: Machine, dtype: WeightDType): Promise<boolean> {
  const shape = [columns, depth];
  const storage = await packWeight(machine, arraySource(w, shape, { dtype }), machine.device.largestBinding);
  using left = machine.upload(x);
  try {
    for (const count of [rows, 1]) {
      using y = machine.take(count * columns);
      const input: Operand = { storage: left, offset: 0, shape: [count, depth], dtype: 'float32' };
      project(machine, floatsOf(input), { weight: { storage, shape } }, y);
      const values = new Float32Array(await machine.read(y, 0, 4 * count * columns));
      if (!values.every((value, at) => value === product(Math.floor(at / columns), at % columns))) return false;
    }
    return true;
  } finally {
    storage.free();
  }
}

function product(row: number, column: number): number {
  let sum = 0;
  for (let i = 0; i < depth; i++) sum += x[row * depth + i] * w[column * depth + i];
  return sum;
}
