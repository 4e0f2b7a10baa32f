import type { Norm, Operand, PackedWeight } from '../backend.js';
import { crossEntropy as kernels } from './kernels/softmax.js';
import { chunks, normed, product } from './linear.js';
import type { Machine } from './machine.js';
import { addressOf, type Block } from './memory.js';
import { packLeft, panelsOf, rowMajor, type Panels } from './panels.js';
import { crossEntropyColumns, crossEntropyRows } from './tilePlan.js';

/** Logits exist for a stripe of the vocabulary and some rows at a time; a running log-sum-exp goes over the stripes. */
export function crossEntropy(machine: Machine, h: Operand, head: PackedWeight, targets: Int32Array, norm: Norm | undefined): Block {
  const [rows, width] = h.shape;
  using results = machine.memory.frame();
  const output = results.block(4 * rows);
  chunks(rows, crossEntropyRows, (row, count) => {
    using frame = machine.memory.frame();
    const input = normed(machine, frame, addressOf(h) + 4 * row * width, count, width, norm);
    const left = packLeft(machine, frame, rowMajor(input, count, width));
    const losses = lossesOf(machine, left, panelsOf(head), targets.subarray(row, row + count));
    machine.memory.floats(output.address + 4 * row, count).set(losses);
  });
  return results.keep(output);
}

function lossesOf(machine: Machine, left: number, head: Panels, targets: Int32Array): Float64Array {
  using frame = machine.memory.frame();
  const rows = targets.length;
  const [logits, maxima, sums] = [frame.take(4 * rows * Math.min(crossEntropyColumns, head.rows)), frame.take(4 * rows), frame.take(8 * rows)];
  machine.memory.floats(maxima, rows).fill(-Infinity);
  machine.memory.doubles(sums, rows).fill(0);
  const chosen = new Float64Array(rows);
  chunks(head.rows, crossEntropyColumns, (first, columns) => {
    const stripe = { ...head, address: head.address + (first / machine.plan.panel) * head.stride, rows: columns };
    product(machine, left, rows, stripe, logits);
    machine.kernels(kernels).accumulate({ logits, maxima, sums, rows, columns });
    const values = machine.memory.floats(logits, rows * columns);
    targets.forEach((target, row) => {
      if (target >= first && target < first + columns) chosen[row] = values[row * columns + target - first];
    });
  });
  const [most, total] = [machine.memory.floats(maxima, rows), machine.memory.doubles(sums, rows)];
  return chosen.map((logit, row) => (targets[row] < 0 ? 0 : Math.log(total[row]) + most[row] - logit));
}
