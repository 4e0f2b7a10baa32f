/** A short check of the matrix kernels: a compiler may know an instruction and still get it wrong. */
import { int4Product, quantizeRows } from './int4/int4Product.js';
import { productTasks } from './linear.js';
import type { Machine } from './machine.js';
import { packLeft, packRight, rowMajor } from './panels.js';
import type { Int4Panels } from './int4/int4Panels.js';
import { blockBytes, scaleBytes } from './int4/int4Plan.js';

const [rows, depth, columns] = [13, 96, 40];
/** Often enough that the optimizing compiler's code is tried as well. */
const rounds = 40;

/** Whether float32 and int4 products give what they should: small integers, so that every sum is exact. */
export function passesSelfTest(machine: Machine): boolean {
  using frame = machine.memory.frame();
  const value = (i: number): number => ((i * 7919) % 15) - 7;
  const [x, w, y] = [rows * depth, columns * depth, rows * columns].map((count) => frame.take(4 * count));
  machine.memory.floats(x, rows * depth).forEach((_, i, all) => (all[i] = value(i)));
  // A group's largest magnitude is 127, so that activations are quantized to themselves.
  for (let at = 0; at < rows * depth; at += 32) machine.memory.floats(x, rows * depth)[at] = 127;
  machine.memory.floats(w, columns * depth).forEach((_, i, all) => (all[i] = value(i + 3)));
  const [a, b] = [machine.memory.floats(x, rows * depth).slice(), machine.memory.floats(w, columns * depth).slice()];
  const expected = (row: number, column: number): number => {
    let sum = 0;
    for (let i = 0; i < depth; i++) sum += a[row * depth + i] * b[column * depth + i];
    return sum;
  };
  const correct = (count: number): boolean =>
    machine.memory.floats(y, count * columns).every((got, i) => got === expected(Math.floor(i / columns), i % columns));
  const right = packRight(machine, frame, rowMajor(w, columns, depth));
  const int4 = int4Of(machine, frame.take(int4Bytes), b);
  for (let round = 0; round < rounds; round++)
    for (const count of [rows, 1]) {
      const left = rowMajor(x, count, depth);
      machine.run(productTasks(machine, packLeft(machine, frame, left), count, right, y));
      if (!correct(count)) return false;
      int4Product(machine, quantizeRows(machine, frame, x, count, depth, 32), int4, y);
      if (!correct(count)) return false;
    }
  return true;
}

const blocks = depth / 32;
const stride = blocks * (blockBytes + scaleBytes);
const int4Bytes = (columns / 8) * stride;

/** The right side as int4 panels with scales of 1: see `Int4Panels`. */
function int4Of(machine: Machine, address: number, values: Float32Array): Int4Panels {
  const bytes = machine.memory.bytes(address, int4Bytes).fill(0);
  values.forEach((value, i) => {
    const [row, column] = [Math.floor(i / depth), i % depth];
    const block = Math.floor(row / 8) * stride + Math.floor(column / 32) * (blockBytes + scaleBytes);
    // 16 bytes are 4 rows x 8 weights.
    const at = block + 32 * Math.floor((column % 32) / 8) + 4 * (row % 8) + ((column % 8) >> 1);
    bytes[at] |= (value + 8) << (4 * (column % 2));
    // float16's 1.
    bytes[block + blockBytes + 2 * (row % 8) + 1] = 0x3c;
  });
  return { address, zeros: 0, rows: columns, depth, groupSize: 32, blocks, group: 1, groups: blocks, stride };
}
