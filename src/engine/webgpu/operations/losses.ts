import type { Head, Operand } from '../../backend.js';
import { logitExpression } from '../../expression.js';
import { crossEntropy as lossKernel, divergence as divergenceKernel } from '../kernels/losses.js';
import type { Machine } from '../runtime/machine.js';
import type { Block } from '../runtime/memory.js';
import { someRows } from './matrices.js';
import { project } from './product.js';
import { withInput } from './transformer.js';

/** Bytes of logits that are held at a time. */
const logitsBytes = 2 ** 26;

/** Calls `use` for some rows at a time. */
function byRows(rows: number, head: Head, use: (firstRow: number, count: number) => void): void {
  const step = Math.max(1, Math.floor(logitsBytes / (4 * Math.max(1, head.weight.shape[0]))));
  for (let first = 0; first < rows; first += step) use(first, Math.min(step, rows - first));
}

/** Logits of some rows of x, before they are scaled and capped. */
function logitsOf(machine: Machine, x: Operand, head: Head): Block {
  const logits = machine.take(x.shape[0] * head.weight.shape[0]);
  withInput(machine, x, head.norm, (input) => project(machine, input, head, logits));
  return logits;
}

export function crossEntropy(machine: Machine, h: Operand, head: Head, targets: Int32Array): Block {
  const losses = machine.take(targets.length);
  using wanted = machine.upload(targets);
  byRows(targets.length, head, (firstRow, count) => {
    using logits = logitsOf(machine, someRows(h, firstRow, count), head);
    const numbers = { width: head.weight.shape[0], firstRow };
    machine.run(lossKernel(logitExpression(head) ?? 'x'), { logits, targets: wanted, losses }, numbers, count);
  });
  return losses;
}

export function divergence(machine: Machine, reference: Operand, h: Operand, head: Head): Block {
  const y = machine.take(h.shape[0]);
  byRows(h.shape[0], head, (firstRow, count) => {
    using p = logitsOf(machine, someRows(reference, firstRow, count), head);
    using q = logitsOf(machine, someRows(h, firstRow, count), head);
    const numbers = { width: head.weight.shape[0], firstRow };
    machine.run(divergenceKernel(logitExpression(head) ?? 'x'), { p, q, y }, numbers, count);
  });
  return y;
}
