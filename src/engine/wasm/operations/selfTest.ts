/** A short check of the matrix kernels: a compiler may know an instruction and still get it wrong. */
import { arraySource } from '../../arraySource.js';
import type { Panels } from '../layouts/panels.js';
import type { Machine } from '../runtime/machine.js';
import { int4Right } from './int4/int4SelfTest.js';
import { int8Right } from './int8/int8SelfTest.js';
import { productTasks } from './linear.js';
import { packLeft, packRight, rowMajor } from './packRows.js';
import { packWeight, panelsOf } from './packWeight.js';

const [rows, depth, columns] = [13, 98, 40];
/** Often enough that the optimizing compiler's code is tried as well. */
const rounds = 40;

const integer = (i: number): number => ((i * 7919) % 15) - 7;
const x = Float32Array.from({ length: rows * depth }, (_, i) => integer(i));
/** Every other column small enough that as float16 its numbers are subnormal. */
const w = Float32Array.from(
  { length: columns * depth },
  (_, i) => integer(i + 3) * (Math.floor(i / depth) % 2 ? 2 ** -20 : 1),
);

/** Whether products of each form of weights give what they should: of small integers, so that every sum is exact. */
export async function passesSelfTest(machine: Machine): Promise<boolean> {
  const expected = product();
  if (!floatsRight(machine, expected)) return false;
  for (const dtype of ['bfloat16', 'float16'] as const)
    if (!(await halvesRight(machine, dtype, expected))) return false;
  return (await int4Right(machine, rounds)) && (await int8Right(machine, rounds));
}

/** x w^T [rows, columns]. */
function product(): Float32Array {
  const sums = new Float32Array(rows * columns);
  for (let at = 0; at < sums.length; at++) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    for (let i = 0; i < depth; i++) sums[at] += x[row * depth + i] * w[column * depth + i];
  }
  return sums;
}

function floatsRight(machine: Machine, expected: Float32Array): boolean {
  using frame = machine.memory.frame();
  const at = frame.take(w.byteLength);
  machine.memory.floats(at, w.length).set(w);
  return productsRight(machine, packRight(machine, frame, rowMajor(at, columns, depth)), expected);
}

async function halvesRight(machine: Machine, dtype: 'bfloat16' | 'float16', expected: Float32Array): Promise<boolean> {
  const storage = await packWeight(machine, arraySource(w, [columns, depth], { dtype }));
  try {
    return productsRight(machine, panelsOf({ storage, shape: [columns, depth] }), expected);
  } finally {
    storage.free();
  }
}

/** With all rows and with one, over and over. */
function productsRight(machine: Machine, right: Panels, expected: Float32Array): boolean {
  using frame = machine.memory.frame();
  const [left, y] = [frame.take(x.byteLength), frame.take(expected.byteLength)];
  machine.memory.floats(left, x.length).set(x);
  for (let round = 0; round < rounds; round++)
    for (const count of [rows, 1]) {
      machine.run(productTasks(machine, packLeft(machine, frame, rowMajor(left, count, depth)), count, right, y));
      if (!machine.memory.floats(y, count * columns).every((got, i) => got === expected[i])) return false;
    }
  return true;
}
