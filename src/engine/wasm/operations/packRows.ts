/** Matrices that are no weights, packed as the sides of products. */
import { pack } from '../kernels/pack.js';
import { panelRows, type Panels } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';
import type { Frame } from '../runtime/memory.js';
import { perUnit, plus, unitCount, type Argument, type Call } from '../runtime/task.js';

/**
 * A pending computation of rows, such as a norm: gives a call that writes `height` rows for each unit, one unit after
 * the other, from row `from` on.
 */
export type MakeRows = (from: number, height: number) => Call;

/** A matrix of which element (row, at) lies at `address` + row * rowStride + at * depthStride (bytes). */
export interface Matrix {
  readonly address: number;
  readonly rows: number;
  readonly depth: number;
  readonly rowStride: number;
  readonly depthStride: number;
  /**
   * Computes the rows right before they are read, so that they are still in the cache of the thread that reads them.
   */
  readonly make?: MakeRows;
}

export const rowMajor = (address: number, rows: number, depth: number, make?: MakeRows): Matrix => ({
  address,
  rows,
  depth,
  rowStride: 4 * depth,
  depthStride: 4,
  make,
});

/** The calls that compute pending rows, to come before those that read them. */
export const making = ({ make }: Matrix, from: number, height: number): Call[] => (make ? [make(from, height)] : []);

function makeRows(machine: Machine, matrix: Matrix, from: number, count: number): void {
  if (matrix.make && count > 0) machine.run([machine.rowsTask(count, 8 * matrix.depth, matrix.make(from, 1))]);
}

/** Which kernel packs groups of so many rows. */
const packerOf = { 4: 'packRows4', 6: 'packRows6', 8: 'packRows8' } as const;

/**
 * Packs rows for products: in groups of `width` rows, [depth][width] each. The last group is narrower, or with `fill`
 * padded with zeros.
 */
function packMatrix(
  machine: Machine,
  matrix: Matrix,
  width: keyof typeof packerOf,
  target: number,
  fill: boolean,
): void {
  const { address, rows, depth, rowStride, depthStride } = matrix;
  const kernels = machine.calls(pack);
  const [fast, groups] = depthStride === 4 ? [kernels[packerOf[width]], Math.floor(rows / width)] : [undefined, 0];
  if (fast && groups > 0) {
    const call = fast({
      source: perUnit(address, width * rowStride),
      target: perUnit(target, 4 * width * depth),
      groups: unitCount,
      depth,
      stride: rowStride,
    });
    machine.run([machine.rowsTask(groups, width * depth, ...making(matrix, 0, width), call)]);
  }
  makeRows(machine, matrix, groups * width, rows - groups * width);
  const { packStrided } = machine.kernels(pack);
  const strided = (from: number, count: number, groupWidth: number): void =>
    packStrided({
      source: address + from * rowStride,
      target: target + 4 * from * depth,
      count,
      width: groupWidth,
      depth,
      rowStride,
      depthStride,
    });
  const rest = fill ? rows : rows - (rows % width);
  if (rest > groups * width) strided(groups * width, rest - groups * width, width);
  if (rows > rest) strided(rest, rows - rest, rows - rest);
}

/**
 * As `packLeft`, for rows `stride` bytes apart, as calls of one unit. Gives the calls and the address of the packed
 * rows.
 */
export function packLeftCalls(
  machine: Machine,
  source: Argument,
  rows: number,
  depth: number,
  stride: number,
  target: Argument,
): { calls: Call[]; left: Argument } {
  if (rows === 1) return { calls: [], left: source };
  const kernels = machine.calls(pack);
  const width = machine.plan.rows;
  const [groups, rest] = [Math.floor(rows / width), rows % width];
  const done = rows - rest;
  const calls: Call[] = [];
  if (groups > 0) calls.push(kernels[packerOf[width]]({ source, target, groups, depth, stride }));
  if (rest > 0)
    calls.push(
      kernels.packStrided({
        source: plus(source, done * stride),
        target: plus(target, 4 * done * depth),
        count: rest,
        width: rest,
        depth,
        rowStride: stride,
        depthStride: 4,
      }),
    );
  return { calls, left: target };
}

/**
 * Packs the left side of a product into tiles of `plan.rows` rows, the last one narrower; a single row is a tile as it
 * is. Returns the address.
 */
export function packLeft(machine: Machine, frame: Frame, matrix: Matrix): number {
  if (isTile(matrix)) {
    makeRows(machine, matrix, 0, 1);
    return matrix.address;
  }
  const target = frame.take(4 * matrix.rows * matrix.depth);
  packMatrix(machine, matrix, machine.plan.rows, target, false);
  return target;
}

const isTile = ({ rows, depthStride }: Matrix): boolean => rows === 1 && depthStride === 4;

/** Packs the right side of a product, for a matrix that is no weight. */
export function packRight(machine: Machine, frame: Frame, matrix: Matrix): Panels {
  const { rows, depth } = matrix;
  const address = frame.take(4 * roundUp(rows, panelRows) * depth);
  packMatrix(machine, matrix, panelRows, address, true);
  return { address, rows, depth, stride: 4 * panelRows * depth, stored: 'float32' };
}
