import type { Operand, PackedWeight, Projection } from '../../backend.js';
import {
  rowProduct,
  tileProduct,
  type ProductKernel,
  type ProductNumber,
  type ProductSpec,
} from '../kernels/product.js';
import type { Block } from '../runtime/memory.js';
import type { Given, Machine } from '../runtime/machine.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { weightOf, type Floats } from './matrices.js';

const none: Readonly<Record<ProductNumber, number>> = {
  rows: 0,
  depth: 0,
  columns: 0,
  firstColumn: 0,
  first: 0,
  count: 0,
  stride: 0,
  scalesAt: 0,
  leftRows: 0,
  rightRows: 0,
  leftRepeats: 1,
  zero: 0,
};

type Buffers = Readonly<Partial<Record<'x' | 'w' | 'bias' | 'added' | 'experts' | 'y' | 'sums', Given>>>;

interface Job {
  readonly spec: ProductSpec;
  readonly buffers: Buffers;
  readonly numbers: Readonly<Partial<Record<ProductNumber, number>>> & {
    readonly rows: number;
    readonly columns: number;
    readonly count: number;
  };
}

/** Launches a product: tiles for many rows; for few, and for experts', lanes that share columns. */
function launch(machine: Machine, { spec, buffers, numbers }: Job): void {
  const { plan } = machine;
  const few = spec.left !== 'columns' && (spec.routed || numbers.rows <= plan.mostRows);
  const together = spec.routed ? 1 : Math.min(plan.sharedRows, numbers.rows);
  const kernel = few ? rowProduct(spec, plan, together) : tileProduct(spec, plan);
  const wide = spec.routed ? numbers.columns : numbers.count;
  const groups = few
    ? Math.ceil(numbers.rows / Math.max(1, together)) * Math.ceil(wide / plan.sharedColumns)
    : tilesOf(plan, numbers.rows, wide);
  // The kernel has those of the buffers that its spec names.
  machine.run(kernel as ProductKernel, buffers as Required<Buffers>, { ...none, ...numbers }, groups);
}

const tilesOf = ({ rowsEach, rowLanes, columnsEach, columnLanes }: TilePlan, rows: number, columns: number): number =>
  Math.ceil(rows / (rowsEach * rowLanes)) * Math.ceil(columns / (columnsEach * columnLanes));

/** y [rows, out] = x weight^T + bias + add, into a block that is given. */
export function project(
  machine: Machine,
  { x, form, rows, depth }: Floats,
  { weight, bias }: Projection,
  y: Block,
  add?: Operand,
): void {
  const right = weightOf(weight);
  const spec = { left: form, right: right.form, bias: Boolean(bias), add: Boolean(add) };
  for (const { block, first, count } of right.parts)
    launch(machine, {
      spec,
      buffers: { x, w: block, bias, added: add, y },
      numbers: { rows, depth, columns: weight.shape[0], firstColumn: first, count, ...right.numbers },
    });
}

/** Visits of experts: visit v is what expert `experts[v]` gives of row v / `repeats` of x. y [visits, out]. */
export function projectVisits(
  machine: Machine,
  { x, form, depth }: Floats,
  { weight, bias }: { readonly weight: PackedWeight; readonly bias?: Operand },
  y: Block,
  visits: { readonly experts: Block; readonly count: number; readonly repeats: number },
): void {
  const right = weightOf(weight);
  const spec = { left: form, right: right.form, bias: Boolean(bias), routed: true };
  for (const { block, first, count } of right.parts)
    launch(machine, {
      spec,
      buffers: { x, w: block, bias, experts: visits.experts, y },
      numbers: {
        ...{ rows: visits.count, leftRepeats: visits.repeats, depth, columns: weight.shape[1] },
        ...{ first, count, ...right.numbers },
      },
    });
}

/** left right^T of floats: [left.rows, right.rows], stored or, with `running`, added to running sums. */
export function multiply(machine: Machine, left: Floats, right: Floats, into: Block, running = false): void {
  launch(machine, {
    spec: { left: left.form, right: right.form, running },
    buffers: { x: left.x, w: right.x, ...(running ? { sums: into } : { y: into }) },
    numbers: {
      ...{ rows: left.rows, columns: right.rows, count: right.rows, depth: left.depth },
      ...{ leftRows: left.rows, rightRows: right.rows },
    },
  });
}
