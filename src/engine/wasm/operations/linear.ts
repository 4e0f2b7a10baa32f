/** Launching matrix products, and what is fused around them. */
import type { Fusion, GatedProjections, Norm, Operand, Projection } from '../../backend.js';
import { elementwise } from '../kernels/elementwise.js';
import { pack } from '../kernels/pack.js';
import { rmsNorm } from '../kernels/rmsNorm.js';
import { int4Stripe, type Int4Panels } from '../layouts/int4/int4Panels.js';
import { panelRows, type Panels } from '../layouts/panels.js';
import { exactColumns, partOf } from '../layouts/tilePlan.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Block, type Frame } from '../runtime/memory.js';
import { endUnit, firstUnit, perUnit, plus, type Argument, type Call, type Task } from '../runtime/task.js';
import { exactRowTasks } from './int4/int4Product.js';
import { dequantize } from './int4/packInt4.js';
import { formFor, gatedRow, integerTasks } from './integerProduct.js';
import { gatedCall } from './map.js';
import { Left, isInt4Right, isIntegerRight, rightOf, type Right } from './operands.js';
import { rowMajor, type MakeRows } from './packRows.js';

/** How the depth of a product is split: see `gemm`. */
interface Split {
  readonly part: number;
  readonly phase: number;
}

/** A matrix product to describe: `address` and `c` may differ by unit and thread. */
interface Product {
  /** Packed by `packLeft`. */
  readonly left: Argument;
  readonly rows: number;
  readonly right: Omit<Panels, 'address'>;
  readonly address: Argument;
  readonly c: Argument;
  /** Bytes. */
  readonly rowStride: number;
  readonly split: Split;
}

/** The call that computes rows [row, row + rows) of a product for panels [from, to). */
function gemmCall(
  machine: Machine,
  { left, right, address, c, rowStride, split }: Product,
  row: number,
  rows: number,
  from: Argument,
  to: Argument,
  target = plus(c, row * rowStride),
): Call {
  const { depth, stride: panelStride, stored } = right;
  const { gemm } = machine.calls(machine.gemm[stored]);
  const { wide } = machine.scratch;
  return gemm({
    a: plus(left, 4 * row * depth),
    b: address,
    c: target,
    rows,
    depth,
    from,
    to,
    panelStride,
    rowStride,
    ...split,
    wide,
  });
}

/** A product whose right side has whole panels, as calls of one unit. */
export function productCalls(machine: Machine, product: Product): Call[] {
  const calls: Call[] = [];
  chunks(product.rows, machine.plan.block, (row, count) =>
    calls.push(gemmCall(machine, product, row, count, 0, product.right.rows / panelRows)),
  );
  return calls;
}

/**
 * c [rows, right.rows], rows `rowStride` bytes apart, = left right^T, left packed by `packLeft`. A row's result does not
 * depend on how many rows there are.
 */
export function productTasks(
  machine: Machine,
  left: number,
  rows: number,
  right: Panels,
  c: number,
  rowStride = 4 * right.rows,
): Task[] {
  const { block, panels, rowPanels } = machine.plan;
  const full = Math.floor(right.rows / panelRows);
  const rest = right.rows % panelRows;
  const product: Product = {
    left,
    rows,
    right,
    address: right.address,
    c,
    rowStride,
    split: { part: partOf(right.depth, machine.plan), phase: 0 },
  };
  const tasks: Task[] = [];
  chunks(rows, block, (row, count) => {
    const work = count * panelRows * right.depth;
    const chunk = machine.chunkOf(full, rows === 1 ? rowPanels : panels);
    if (full > 0)
      tasks.push({
        units: full,
        chunk,
        work: full * work,
        weights: { address: right.address, bytes: full * right.stride },
        calls: [gemmCall(machine, product, row, count, firstUnit, endUnit)],
      });
    if (rest === 0) return;
    // The last panel is not full: written to the result, it would reach into the next row. It goes to scratch, and its
    // columns are copied.
    const { stripe } = machine.scratch;
    const beside = { ...product, rowStride: 4 * panelRows };
    const target = c + row * rowStride + 4 * panelRows * full;
    const { copyColumns } = machine.calls(pack);
    const copy = copyColumns({
      source: stripe,
      target,
      rows: count,
      columns: rest,
      sourceStride: 4 * panelRows,
      targetStride: rowStride,
    });
    tasks.push({
      units: 1,
      chunk: 1,
      work,
      calls: [gemmCall(machine, beside, row, count, full, full + 1, plus(stripe, -4 * panelRows * full)), copy],
    });
  });
  return tasks;
}

/**
 * Tasks for c [rows, right.rows] = left right^T, for a weight of any kind. What they depend on, such as packing, is
 * run at once.
 */
export function projectTasks(machine: Machine, left: Left, right: Right, c: number): Task[] {
  if (!isIntegerRight(right)) return productTasks(machine, left.floats, left.rows, right, c);
  if (!isExact(machine, right)) return integerTasks(machine, left.quantized(formFor(machine, right)), right, c);
  if (left.rows === 1) return exactRowTasks(machine, left.floats, right, c);
  chunks(right.rows, exactColumns, (first, columns) => {
    using frame = machine.memory.frame();
    const floats = dequantize(machine, frame, int4Stripe(right, first, columns));
    machine.run(productTasks(machine, left.floats, left.rows, floats, c + 4 * first, 4 * right.rows));
  });
  return [];
}

/** Whether a weight is multiplied as float32 although it is integers. */
const isExact = (machine: Machine, right: Right): right is Int4Panels => machine.exactInt4 && isInt4Right(right);

export const project = (machine: Machine, left: Left, right: Right, c: number): void =>
  machine.run(projectTasks(machine, left, right, c));

/** c += bias, for each row; c may be `width` columns of the product, from `first` on. */
export function addBias(
  machine: Machine,
  c: number,
  rows: number,
  width: number,
  bias: Operand | undefined,
  first = 0,
): void {
  if (bias) machine.kernels(elementwise).add({ a: c, b: addressOf(bias) + 4 * first, y: c, rows, width });
}

/** Computes y = norm(x), by rows. */
const normCall = (machine: Machine, x: number, y: number, width: number, { gain, epsilon }: Norm): MakeRows => {
  const { rmsNorm: norm } = machine.calls(rmsNorm);
  return (from, height) => {
    const at = (address: number): Argument => perUnit(address + 4 * width * from, 4 * width * height);
    return norm({ x: at(x), gain: addressOf(gain), y: at(y), rows: { base: 0, count: height }, width, epsilon });
  };
};

/** Rows [rows, width] at x as the left side of products, under the norm if there is one. */
export function leftOf(
  machine: Machine,
  frame: Frame,
  x: number,
  rows: number,
  width: number,
  norm: Norm | undefined,
): Left {
  if (!norm) return new Left(machine, frame, rowMajor(x, rows, width));
  const y = frame.take(4 * rows * width);
  return new Left(machine, frame, rowMajor(y, rows, width, normCall(machine, x, y, width, norm)));
}

export function normRows(machine: Machine, x: number, y: number, rows: number, width: number, norm: Norm): void {
  machine.run([machine.rowsTask(rows, 3 * width, normCall(machine, x, y, width, norm)(0, 1))]);
}

/** c += add, of `rows` rows. */
function addRows(machine: Machine, c: number, add: number, rows: number, width: number): void {
  const stride = 4 * width;
  const call = machine.calls(elementwise).add({
    a: perUnit(c, stride),
    b: perUnit(add, stride),
    y: perUnit(c, stride),
    rows: 1,
    width: { base: 0, count: width },
  });
  machine.run([machine.rowsTask(rows, width, call)]);
}

/** `chunk` rows at a time, so that intermediate results stay small whatever the batch. */
export function chunks(rows: number, chunk: number, visit: (row: number, count: number) => void): void {
  for (let row = 0; row < rows; row += chunk) visit(row, Math.min(chunk, rows - row));
}

export function linear(
  machine: Machine,
  x: Operand,
  projections: readonly Projection[],
  { norm, add }: Fusion,
): Block[] {
  const [rows, width] = x.shape;
  using results = machine.memory.frame();
  const outputs = projections.map(({ weight }) => results.block(4 * rows * weight.shape[0]));
  chunks(rows, machine.plan.chunk, (row, count) => {
    using frame = machine.memory.frame();
    const left = leftOf(machine, frame, addressOf(x) + 4 * row * width, count, width, norm);
    const targets = projections.map(({ weight }, i) => outputs[i].address + 4 * row * weight.shape[0]);
    machine.run(projections.flatMap(({ weight }, i) => projectTasks(machine, left, rightOf(weight), targets[i])));
    projections.forEach(({ weight, bias }, i) => {
      const [out, c] = [weight.shape[0], targets[i]];
      addBias(machine, c, count, out, bias);
      if (i === 0 && add) addRows(machine, c, addressOf(add) + 4 * row * out, count, out);
    });
  });
  return outputs.map((output) => results.keep(output));
}

/** y [rows, D] = down(activation(gate(x)) * up(x)), with matrix `expert` of each weight. */
export function gated(
  machine: Machine,
  left: Left,
  { gate, up, down, activation = 'silu' }: GatedProjections,
  y: number,
  expert = 0,
): void {
  using frame = machine.memory.frame();
  const { rows } = left;
  const all = [gate, up, down].map(({ weight }) => rightOf(weight, expert));
  const [right, upRight, downRight] = all;
  const inner = right.rows;
  if (rows === 1 && !gate.bias && !up.bias && !all.some((side) => isExact(machine, side))) {
    if (all.every(isIntegerRight) && inner % all[2].groupSize === 0) {
      const sides = all.slice(0, 2).map((side) => ({ left: left.quantized(formFor(machine, side)), right: side }));
      const form = formFor(machine, all[2]);
      machine.run(integerTasks(machine, gatedRow(machine, frame, sides, activation, form), all[2], y));
      return addBias(machine, y, rows, downRight.rows, down.bias);
    }
  }
  const [g, u] = [frame.take(4 * rows * inner), frame.take(4 * rows * inner)];
  machine.run([...projectTasks(machine, left, right, g), ...projectTasks(machine, left, upRight, u)]);
  addBias(machine, g, rows, inner, gate.bias);
  addBias(machine, u, rows, inner, up.bias);
  const activated: MakeRows = (from, height) => {
    const [gates, ups] = [g, u].map((address) => perUnit(address + 4 * inner * from, 4 * inner * height));
    return gatedCall(machine, activation, {
      gate: gates,
      up: ups,
      y: gates,
      count: { base: 0, count: inner * height },
    });
  };
  project(machine, new Left(machine, frame, rowMajor(g, rows, inner, activated)), downRight, y);
  addBias(machine, y, rows, downRight.rows, down.bias);
}

export function gatedMlp(machine: Machine, x: Operand, weights: GatedProjections, { norm, add }: Fusion): Block {
  const [rows, width] = x.shape;
  using results = machine.memory.frame();
  const output = results.block(4 * rows * width);
  chunks(rows, machine.plan.chunk, (row, count) => {
    using frame = machine.memory.frame();
    const left = leftOf(machine, frame, addressOf(x) + 4 * row * width, count, width, norm);
    const y = output.address + 4 * row * width;
    gated(machine, left, weights, y);
    if (add) addRows(machine, y, addressOf(add) + 4 * row * width, count, width);
  });
  return results.keep(output);
}
