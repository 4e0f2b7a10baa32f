import type { Head, Operand } from '../../backend.js';
import { broadcastOf } from '../../broadcast.js';
import { logitExpression } from '../../expression.js';
import { crossEntropy as kernels } from '../kernels/logSumExp.js';
import { crossEntropyColumns, crossEntropyRows } from '../layouts/tilePlan.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Block } from '../runtime/memory.js';
import { perUnit, unitCount } from '../runtime/task.js';
import { addBias, chunks, leftOf, project } from './linear.js';
import { mapRows } from './map.js';
import { rightOf, stripeOf, type Left } from './operands.js';

/**
 * Computes logits for a stripe of the vocabulary and some rows at a time; a running log-sum-exp goes over the stripes.
 */
export function crossEntropy(machine: Machine, h: Operand, head: Head, targets: Int32Array): Block {
  const [rows, width] = h.shape;
  using results = machine.memory.frame();
  const output = results.block(4 * rows);
  chunks(rows, crossEntropyRows, (row, count) => {
    using frame = machine.memory.frame();
    const left = leftOf(machine, frame, addressOf(h) + 4 * row * width, count, width, head.norm);
    const losses = lossesOf(machine, left, head, targets.subarray(row, row + count));
    machine.memory.floats(output.address + 4 * row, count).set(losses);
  });
  return results.keep(output);
}

/** Logits of columns [first, first + columns) of the vocabulary, scaled and softly capped, to [left.rows, columns]. */
function logitsOf(machine: Machine, left: Left, head: Head, first: number, columns: number, logits: number): void {
  const { weight, bias } = head;
  project(machine, left, stripeOf(rightOf(weight), first, columns), logits);
  addBias(machine, logits, left.rows, columns, bias, first);
  const expression = logitExpression(head);
  if (expression) mapRows(machine, expression, logits, logits, broadcastOf([left.rows, columns])!);
}

function lossesOf(machine: Machine, left: Left, head: Head, targets: Int32Array): Float64Array {
  using frame = machine.memory.frame();
  const rows = targets.length;
  const [vocabulary] = head.weight.shape;
  const [logits, maxima, sums] = [
    frame.take(4 * rows * Math.min(crossEntropyColumns, vocabulary)),
    frame.take(4 * rows),
    frame.take(8 * rows),
  ];
  machine.memory.floats(maxima, rows).fill(-Infinity);
  machine.memory.doubles(sums, rows).fill(0);
  const chosen = new Float64Array(rows);
  chunks(vocabulary, crossEntropyColumns, (first, columns) => {
    logitsOf(machine, left, head, first, columns, logits);
    const call = machine.calls(kernels).accumulate({
      logits: perUnit(logits, 4 * columns),
      maxima: perUnit(maxima, 4),
      sums: perUnit(sums, 8),
      rows: unitCount,
      columns,
    });
    machine.run([machine.rowsTask(rows, 8 * columns, call)]);
    const values = machine.memory.floats(logits, rows * columns);
    targets.forEach((target, row) => {
      if (target >= first && target < first + columns) chosen[row] = values[row * columns + target - first];
    });
  });
  const [most, total] = [machine.memory.floats(maxima, rows), machine.memory.doubles(sums, rows)];
  return chosen.map((logit, row) => (targets[row] < 0 ? 0 : Math.log(total[row]) + most[row] - logit));
}

/** Rows whose two whole distributions divergence holds at a time. */
const divergenceRows = 32;

/** KL = sum p (logit_p - logit_q) - log-sum-exp_p + log-sum-exp_q, a few whole rows of logits at a time. */
export function divergence(machine: Machine, reference: Operand, h: Operand, head: Head): Block {
  const [rows, width] = h.shape;
  const [columns] = head.weight.shape;
  using results = machine.memory.frame();
  const output = results.block(4 * rows);
  chunks(rows, divergenceRows, (row, count) => {
    using frame = machine.memory.frame();
    const logitsFrom = (x: Operand): number => {
      const logits = frame.take(4 * count * columns);
      using scratch = machine.memory.frame();
      const left = leftOf(machine, scratch, addressOf(x) + 4 * row * width, count, width, head.norm);
      logitsOf(machine, left, head, 0, columns, logits);
      return logits;
    };
    const [p, q] = [logitsFrom(reference), logitsFrom(h)];
    const [y, ratios] = [output.address + 4 * row, frame.take(4 * count)];
    const call = machine.calls(kernels).divergence({
      p: perUnit(p, 4 * columns),
      q: perUnit(q, 4 * columns),
      y: perUnit(y, 4),
      ratios: perUnit(ratios, 4),
      rows: unitCount,
      columns,
    });
    machine.run([machine.rowsTask(count, 24 * columns, call)]);
    const logs = machine.memory.floats(ratios, count).map(Math.log);
    machine.memory.floats(y, count).forEach((mean, i, all) => (all[i] = mean + logs[i]));
  });
  return results.keep(output);
}
