import type { Fusion, GatedProjections, MoeSpec, Operand, PackedWeight } from '../../backend.js';
import { broadcastOf } from '../../broadcast.js';
import { elementwise } from '../kernels/elementwise.js';
import { softmax } from '../kernels/softmax.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Block } from '../runtime/memory.js';
import { chunks, gated, normRows, project } from './linear.js';
import { mapRows } from './map.js';
import { Left, rightOf } from './operands.js';
import { rowMajor } from './packRows.js';

/** A row that visits an expert, and the weight that the expert's result gets. */
export interface Visit {
  readonly row: number;
  readonly weight: number;
}

/** Per expert the rows that visit it: the `topK` largest of each row's scores [rows, experts], ties to the lower index. */
export function route(scores: Float32Array, experts: number, { topK, normalise, scale = 1 }: MoeSpec): Visit[][] {
  const visits: Visit[][] = Array.from({ length: experts }, () => []);
  for (let row = 0; row * experts < scores.length; row++) {
    const of = scores.subarray(row * experts, (row + 1) * experts);
    const chosen = Array.from(of.keys())
      .sort((a, b) => of[b] - of[a] || a - b)
      .slice(0, topK);
    const total = normalise ? chosen.reduce((sum, expert) => sum + of[expert], 0) : 1;
    for (const expert of chosen) visits[expert].push({ row, weight: (of[expert] / total) * scale });
  }
  return visits;
}

/** Each expert computes its rows together; a row's results are added in order of the experts. `tally` is the address of its sums. */
export function moe(
  machine: Machine,
  x: Operand,
  router: PackedWeight,
  weights: GatedProjections,
  spec: MoeSpec,
  { norm, add }: Fusion,
  tally?: number,
): Block {
  const [rows, width] = x.shape;
  using results = machine.memory.frame();
  const output = results.block(4 * rows * width);
  chunks(rows, machine.plan.chunk, (row, count) => {
    using frame = machine.memory.frame();
    const y = output.address + 4 * row * width;
    const source = addressOf(x) + 4 * row * width;
    const input = norm ? frame.take(4 * count * width) : source;
    if (norm) normRows(machine, source, input, count, width, norm);
    const visits = visitsOf(machine, input, count, router, spec);
    machine.memory.floats(y, count * width).fill(0);
    visits.forEach((of, expert) => {
      if (of.length > 0) visitExpert(machine, input, of, weights, expert, y, width, tally);
    });
    if (add)
      machine.kernels(elementwise).add({ a: y, b: addressOf(add) + 4 * row * width, y, rows: 1, width: count * width });
  });
  return results.keep(output);
}

function visitsOf(machine: Machine, x: number, rows: number, router: PackedWeight, spec: MoeSpec): Visit[][] {
  using frame = machine.memory.frame();
  const right = rightOf(router);
  const logits = frame.take(4 * rows * right.rows);
  project(machine, new Left(machine, frame, rowMajor(x, rows, right.depth)), right, logits);
  if (spec.scoring === 'sigmoid') mapRows(machine, ['sigmoid', 'x'], logits, logits, broadcastOf([rows, right.rows])!);
  else machine.kernels(softmax).softmax({ x: logits, y: logits, rows, width: right.rows });
  return route(machine.memory.floats(logits, rows * right.rows), right.rows, spec);
}

function visitExpert(
  machine: Machine,
  x: number,
  visits: readonly Visit[],
  weights: GatedProjections,
  expert: number,
  y: number,
  width: number,
  tally: number | undefined,
): void {
  using frame = machine.memory.frame();
  const [rows, back] = [frame.take(4 * visits.length * width), frame.take(4 * visits.length * width)];
  visits.forEach(({ row }, i) => copyRow(machine, x, row, rows, i, width));
  gated(machine, new Left(machine, frame, rowMajor(rows, visits.length, width)), weights, back, expert);
  const { addScaled } = machine.kernels(elementwise);
  visits.forEach(({ row, weight }, i) =>
    addScaled({ x: back + 4 * i * width, y: y + 4 * row * width, weight, count: width }),
  );
  if (tally !== undefined) count(machine, visits, back, width, tally + 8 * expert, weights.gate.weight.shape[0]);
}

/** Adds an expert's visits to its three sums, which lie as many elements apart as there are experts. */
function count(
  { memory }: Machine,
  visits: readonly Visit[],
  given: number,
  width: number,
  tally: number,
  experts: number,
): void {
  const sums = memory.doubles(tally, 2 * experts + 1);
  visits.forEach(({ weight }, i) => {
    let squares = 0;
    for (const value of memory.floats(given + 4 * i * width, width)) squares += value * value;
    [1, weight, weight * Math.sqrt(squares)].forEach((value, kind) => (sums[kind * experts] += value));
  });
}

function copyRow(machine: Machine, from: number, row: number, to: number, index: number, width: number): void {
  machine.memory.floats(to + 4 * index * width, width).set(machine.memory.floats(from + 4 * row * width, width));
}
