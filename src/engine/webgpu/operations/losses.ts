import type { Head, Operand } from '../../backend.js';
import { logitExpression } from '../../expression.js';
import { crossEntropy as lossKernel, divergence as divergenceKernel } from '../kernels/losses.js';
import type { Machine } from '../runtime/machine.js';
import type { Block } from '../runtime/memory.js';
import { project } from './product.js';
import { withInput } from './transformer.js';

/** Bytes of logits that are held at a time. */
const logitsBytes = 2 ** 26;

/** Calls `use` with the logits of some rows of x at a time, before they are scaled and capped. */
function byRows(x: Operand, head: Head, use: (rows: Operand, firstRow: number, count: number) => void): void {
  const [rows, width] = x.shape;
  const step = Math.max(1, Math.floor(logitsBytes / (4 * Math.max(1, head.weight.shape[0]))));
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    use({ ...x, offset: x.offset + first * width, shape: [count, width] }, first, count);
  }
}

function logitsOf(machine: Machine, x: Operand, head: Head): Block {
  const logits = machine.take(x.shape[0] * head.weight.shape[0]);
  withInput(machine, x, head.norm, (input) => project(machine, input, head, logits));
  return logits;
}

export function crossEntropy(machine: Machine, h: Operand, head: Head, targets: Int32Array): Block {
  const losses = machine.take(targets.length);
  using wanted = machine.upload(targets);
  byRows(h, head, (rows, firstRow, count) => {
    using logits = logitsOf(machine, rows, head);
    const numbers = { width: head.weight.shape[0], firstRow };
    machine.run(lossKernel(logitExpression(head) ?? 'x'), { logits, targets: wanted, losses }, numbers, count);
  });
  return losses;
}

export function divergence(machine: Machine, reference: Operand, h: Operand, head: Head): Block {
  const y = machine.take(h.shape[0]);
  byRows(h, head, (rows, firstRow, count) => {
    const own = { ...reference, offset: reference.offset + firstRow * h.shape[1], shape: rows.shape };
    using p = logitsOf(machine, own, head);
    using q = logitsOf(machine, rows, head);
    const numbers = { width: head.weight.shape[0], firstRow };
    machine.run(divergenceKernel(logitExpression(head) ?? 'x'), { p, q, y }, numbers, count);
  });
  return y;
}
