import type { Operand, Projection } from '../../backend.js';
import {
  rowProduct,
  tileProduct,
  type ProductBuffer,
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
  experts: 0,
  zero: 0,
};

type Buffers = Readonly<Partial<Record<ProductBuffer, Given>>>;

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
  const few = spec.routed ? spec.routed === 'each' : spec.left !== 'columns' && numbers.rows <= plan.mostRows;
  const together = spec.routed ? 1 : Math.min(plan.sharedRows, numbers.rows);
  const kernel = few ? rowProduct(spec, plan, together) : tileProduct(spec, plan);
  const wide = spec.routed ? numbers.columns : numbers.count;
  const groups = few
    ? Math.ceil(numbers.rows / Math.max(1, together)) * Math.ceil(wide / plan.sharedColumns)
    : tilesOf(plan, numbers.rows, numbers.experts ?? 0) * Math.ceil(wide / (plan.columnsEach * plan.columnLanes));
  // The kernel has those of the buffers that its spec names.
  machine.run(kernel as ProductKernel, buffers as Required<Buffers>, { ...none, ...numbers }, groups);
}

/** Tiles above each other; of sorted visits, each expert's may end in one that is not full. */
const tilesOf = ({ rowsEach, rowLanes }: TilePlan, rows: number, experts: number): number =>
  Math.min(rows, Math.ceil(rows / (rowsEach * rowLanes)) + experts);

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

/** Which experts tokens visit: `chosen` [count], and how often each expert is visited where they were sorted. */
export interface Visits {
  readonly chosen: Block;
  readonly count: number;
  readonly experts: number;
  readonly sorted?: { readonly order: Block; readonly starts: Block };
}

/** Visit v is what expert `chosen[v]` gives of row v / `repeats` of x. y [visits, out]. */
export function projectVisits(
  machine: Machine,
  { x, form, depth }: Floats,
  repeats: number,
  { weight, bias }: Projection,
  y: Block,
  { chosen, count: rows, experts, sorted }: Visits,
): void {
  const right = weightOf(weight);
  const routed = sorted ? 'sorted' : 'each';
  const spec: ProductSpec = { left: form, right: right.form, bias: Boolean(bias), routed };
  for (const { block, first, count } of right.parts)
    launch(machine, {
      spec,
      buffers: { x, w: block, bias, chosen, ...sorted, y },
      numbers: {
        ...{ rows, leftRepeats: repeats, depth, columns: weight.shape[1], experts },
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
