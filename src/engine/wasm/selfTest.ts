/** A short check of the matrix kernels: a compiler may know an instruction and still get it wrong. */
import { int4Right } from './int4/selfTest.js';
import { productTasks } from './linear.js';
import type { Machine } from './machine.js';
import { packLeft, packRight, rowMajor } from './panels.js';

const [rows, depth, columns] = [13, 96, 40];
/** Often enough that the optimizing compiler's code is tried as well. */
const rounds = 40;

/** Whether float32 and int4 products give what they should: small integers, so that every sum is exact. */
export async function passesSelfTest(machine: Machine): Promise<boolean> {
  return floatsRight(machine) && (await int4Right(machine, rounds));
}

function floatsRight(machine: Machine): boolean {
  using frame = machine.memory.frame();
  const value = (i: number): number => ((i * 7919) % 15) - 7;
  const [x, w, y] = [rows * depth, columns * depth, rows * columns].map((count) => frame.take(4 * count));
  machine.memory.floats(x, rows * depth).forEach((_, i, all) => (all[i] = value(i)));
  machine.memory.floats(w, columns * depth).forEach((_, i, all) => (all[i] = value(i + 3)));
  const expected = (row: number, column: number): number => {
    let sum = 0;
    for (let i = 0; i < depth; i++) sum += value(row * depth + i) * value(column * depth + i + 3);
    return sum;
  };
  const right = packRight(machine, frame, rowMajor(w, columns, depth));
  for (let round = 0; round < rounds; round++)
    for (const count of [rows, 1]) {
      machine.run(productTasks(machine, packLeft(machine, frame, rowMajor(x, count, depth)), count, right, y));
      const results = machine.memory.floats(y, count * columns);
      if (!results.every((got, i) => got === expected(Math.floor(i / columns), i % columns))) return false;
    }
  return true;
}
