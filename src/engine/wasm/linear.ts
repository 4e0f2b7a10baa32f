/** Launching matrix products, and what is fused around them. */
import type { Fusion, GatedProjections, Norm, Operand, Projection } from '../backend.js';
import { dequantize, int4Stripe } from './int4/int4Panels.js';
import { int4Product } from './int4/int4Product.js';
import { elementwise } from './kernels/elementwise.js';
import { pack } from './kernels/pack.js';
import { rmsNorm } from './kernels/rmsNorm.js';
import type { Machine } from './machine.js';
import { addressOf, type Block, type Frame } from './memory.js';
import { Left, isInt4Right, rightOf, type Right } from './operands.js';
import { rowMajor, type Panels } from './panels.js';
import { exactColumns, partOf } from './tilePlan.js';

/** How the depth of a product is split: see `gemm`. */
interface Split {
  readonly part: number;
  readonly phase: number;
}

/**
 * c [rows, right.rows], rows `rowStride` bytes apart, = left right^T, left packed by `packLeft`. A row's result does not
 * depend on how many rows there are.
 */
export function product(machine: Machine, left: number, rows: number, right: Panels, c: number, rowStride = 4 * right.rows, split?: Split): void {
  const { block, panel } = machine.plan;
  const { gemm } = machine.kernels(machine.gemm[right.stored]);
  const { part, phase } = split ?? { part: partOf(right.depth, machine.plan), phase: 0 };
  const full = Math.floor(right.rows / panel);
  const rest = right.rows % panel;
  const { sums, wide, stripe } = machine;
  const { address: b, depth, stride: panelStride } = right;
  for (let row = 0; row < rows; row += block) {
    const count = Math.min(block, rows - row);
    const a = left + 4 * row * depth;
    const target = c + row * rowStride;
    // Written out twice: spreading a literal this long takes microseconds, as much as a token's whole product.
    if (full > 0) gemm({ a, b, c: target, rows: count, depth, from: 0, to: full, panelStride, rowStride, part, phase, sums, wide });
    if (rest === 0) continue;
    // A panel that is not full is written beside the result, whose rows it would overrun.
    const beside = stripe - 4 * panel * full;
    gemm({ a, b, c: beside, rows: count, depth, from: full, to: full + 1, panelStride, rowStride: 4 * panel, part, phase, sums, wide });
    const to = target + 4 * panel * full;
    machine.kernels(pack).copyColumns({ source: stripe, target: to, rows: count, columns: rest, sourceStride: 4 * panel, targetStride: rowStride });
  }
}

/** c [rows, right.rows] = left right^T for a weight of either kind, as `product`. */
export function project(machine: Machine, left: Left, right: Right, c: number): void {
  if (!isInt4Right(right)) return product(machine, left.floats, left.rows, right, c);
  if (!machine.exactInt4) return int4Product(machine, left.quantized(right.groupSize), right, c);
  chunks(right.rows, exactColumns, (first, columns) => {
    using frame = machine.memory.frame();
    const floats = dequantize(machine, frame, int4Stripe(right, first, columns));
    product(machine, left.floats, left.rows, floats, c + 4 * first, 4 * right.rows);
  });
}

/** c += bias, for each row. */
function addBias(machine: Machine, c: number, rows: number, width: number, bias: Operand | undefined): void {
  if (bias) machine.kernels(elementwise).add({ a: c, b: addressOf(bias), y: c, rows, width });
}

/** Rows of x under the norm, or as they are. */
export function normed(machine: Machine, frame: Frame, x: number, rows: number, width: number, norm: Norm | undefined): number {
  if (!norm) return x;
  const y = frame.take(4 * rows * width);
  machine.kernels(rmsNorm).rmsNorm({ x, gain: addressOf(norm.gain), y, rows, width, epsilon: norm.epsilon });
  return y;
}

/** `chunk` rows at a time, so that intermediate results stay small whatever the batch. */
export function chunks(rows: number, chunk: number, visit: (row: number, count: number) => void): void {
  for (let row = 0; row < rows; row += chunk) visit(row, Math.min(chunk, rows - row));
}

export function linear(machine: Machine, x: Operand, projections: readonly Projection[], { norm, add }: Fusion): Block[] {
  const [rows, width] = x.shape;
  using results = machine.memory.frame();
  const outputs = projections.map(({ weight }) => results.block(4 * rows * weight.shape[0]));
  chunks(rows, machine.plan.chunk, (row, count) => {
    using frame = machine.memory.frame();
    const input = normed(machine, frame, addressOf(x) + 4 * row * width, count, width, norm);
    const left = new Left(machine, frame, rowMajor(input, count, width));
    projections.forEach(({ weight, bias }, i) => {
      const out = weight.shape[0];
      const c = outputs[i].address + 4 * row * out;
      project(machine, left, rightOf(weight), c);
      addBias(machine, c, count, out, bias);
      if (i === 0 && add) machine.kernels(elementwise).add({ a: c, b: addressOf(add) + 4 * row * out, y: c, rows: 1, width: count * out });
    });
  });
  return outputs.map((output) => results.keep(output));
}

/** y [rows, D] = down(silu(gate(x)) * up(x)) of rows at `x`, with matrix `expert` of each weight. */
export function gated(machine: Machine, x: number, rows: number, { gate, up, down }: GatedProjections, y: number, expert = 0): void {
  using frame = machine.memory.frame();
  const [right, upRight, downRight] = [gate, up, down].map(({ weight }) => rightOf(weight, expert));
  const left = new Left(machine, frame, rowMajor(x, rows, right.depth));
  const inner = right.rows;
  const [g, u] = [frame.take(4 * rows * inner), frame.take(4 * rows * inner)];
  project(machine, left, right, g);
  addBias(machine, g, rows, inner, gate.bias);
  project(machine, left, upRight, u);
  addBias(machine, u, rows, inner, up.bias);
  machine.kernels(elementwise).siluMultiply({ gate: g, up: u, y: g, count: rows * inner });
  project(machine, new Left(machine, frame, rowMajor(g, rows, inner)), downRight, y);
  addBias(machine, y, rows, downRight.rows, down.bias);
}

export function gatedMlp(machine: Machine, x: Operand, weights: GatedProjections, { norm, add }: Fusion): Block {
  const [rows, width] = x.shape;
  using results = machine.memory.frame();
  const output = results.block(4 * rows * width);
  chunks(rows, machine.plan.chunk, (row, count) => {
    using frame = machine.memory.frame();
    const input = normed(machine, frame, addressOf(x) + 4 * row * width, count, width, norm);
    const y = output.address + 4 * row * width;
    gated(machine, input, count, weights, y);
    if (add) machine.kernels(elementwise).add({ a: y, b: addressOf(add) + 4 * row * width, y, rows: 1, width: count * width });
  });
  return results.keep(output);
}
