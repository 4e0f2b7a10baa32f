/** Norms, projections and gated MLPs. */
import type { Fusion, GatedProjections, Norm, Operand, Projection } from '../../backend.js';
import { gatedBy, type Activation } from '../../expression.js';
import { elementLanes } from '../compiler/kernel.js';
import { mapKernel } from '../kernels/map.js';
import { rmsNorm } from '../kernels/rmsNorm.js';
import type { Machine } from '../runtime/machine.js';
import type { Block } from '../runtime/memory.js';
import { blockFloats, floatsOf, type Floats } from './matrices.js';
import { project } from './product.js';

export function normRows(machine: Machine, x: Operand, { gain, epsilon }: Norm): Block {
  const [rows, width] = x.shape;
  const y = machine.take(rows * width);
  machine.run(rmsNorm, { x, gain, y }, { width, epsilon }, rows);
  return y;
}

/** x [rows, depth], normed where there is a norm, for as long as `use` runs. */
export function withInput<T>(machine: Machine, x: Operand, norm: Norm | undefined, use: (input: Floats) => T): T {
  if (!norm) return use(floatsOf(x));
  using normed = normRows(machine, x, norm);
  return use(blockFloats(normed, x.shape[0], x.shape[1]));
}

/** One block a projection; `add` belongs to the first. */
export function projectAll(
  machine: Machine,
  input: Floats,
  projections: readonly Projection[],
  add?: Operand,
): Block[] {
  return projections.map((projection, i) => {
    const y = machine.take(input.rows * projection.weight.shape[0]);
    project(machine, input, projection, y, i === 0 ? add : undefined);
    return y;
  });
}

/** gate = activation(gate) * up, into a block of its own. */
export function gateOf(
  machine: Machine,
  gate: Block,
  up: Block,
  count: number,
  activation: Activation = 'silu',
): Block {
  const z = machine.take(count);
  const numbers = { width: Math.max(1, count), rowStride: 0, columnStride: 1, count };
  machine.run(mapKernel(gatedBy(activation)), { x: gate, y: up, z }, numbers, Math.ceil(count / elementLanes));
  return z;
}

export function gatedMlp(
  machine: Machine,
  x: Operand,
  { gate, up, down, activation }: GatedProjections,
  { norm, add }: Fusion,
): Block {
  return withInput(machine, x, norm, (input) => {
    const inner = gate.weight.shape[0];
    const [opened, lifted] = projectAll(machine, input, [gate, up]);
    using hidden = gateOf(machine, opened, lifted, input.rows * inner, activation);
    opened.free();
    lifted.free();
    return projectAll(machine, blockFloats(hidden, input.rows, inner), [down], add)[0];
  });
}
