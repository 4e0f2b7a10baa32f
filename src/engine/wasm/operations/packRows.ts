import type { PackedWeight } from '../../backend.js';
import { UserError } from '../../errors.js';
import { bytesPerElement, type WeightSource } from '../../weight.js';
import { roundUp } from '../runtime/allocator.js';
import type { Stored } from '../kernels/gemm.js';
import { pack } from '../kernels/pack.js';
import type { Machine } from '../runtime/machine.js';
import { Block, type Frame, type Memory } from '../runtime/memory.js';
import { readPieces, type Piece } from './reading.js';
import { perUnit, plus, unitCount, type Argument, type Call } from '../runtime/task.js';

/**
 * A matrix [rows, depth] as panels of 8 rows, [depth][8] elements each; rows that lack in the last are zeros. One layout
 * serves products with many rows, with one, and look-ups of a row.
 */
export interface Panels {
  readonly address: number;
  readonly rows: number;
  readonly depth: number;
  /** Bytes from panel to panel, which is more than a panel takes where only a part of the depth is used. */
  readonly stride: number;
  readonly stored: Stored;
}

/** A weight's panels. A weight that came in 16 bits stays so: half the memory to hold, and to read for each token. */
class PanelBlock extends Block {
  constructor(
    memory: Memory,
    bytes: number,
    readonly stored: Stored,
  ) {
    super(memory, bytes);
  }
}

/** Matrix `index` of a weight: the weight itself, or one of its experts. */
export function panelsOf({ storage, shape }: PackedWeight, index = 0): Panels {
  const [rows, depth] = shape.slice(-2);
  const { address, stored } = storage as PanelBlock;
  const stride = 8 * bytesPerElement[stored] * depth;
  return { address: address + index * (roundUp(rows, 8) / 8) * stride, rows, depth, stride, stored };
}

/** Bytes that a weight's panels take. */
export function panelBytes({ shape, dtype }: WeightSource): number {
  const [rows, depth] = shape.slice(-2);
  return (shape.length === 3 ? shape[0] : 1) * roundUp(rows, 8) * depth * bytesPerElement[dtype];
}

/** Reads a weight to where its panels will be, and makes panels of each piece that has come. */
export async function packWeight(machine: Machine, source: WeightSource): Promise<Block> {
  const [rows, depth] = source.shape.slice(-2);
  const stored = source.dtype;
  const rowBytes = bytesPerElement[stored] * depth;
  const padded = roundUp(rows, 8);
  const result = new PanelBlock(machine.memory, panelBytes(source), stored);
  try {
    await readPieces(
      machine,
      source,
      (matrix, row) => result.address + (matrix * padded + row) * rowBytes,
      (piece) => {
        if (stored === 'float16' && !isFinite16(machine, piece))
          throw new UserError(`${source.name}: row ${piece.row} or a later one holds a value that is not finite`);
        makePanels(machine, stored, piece, depth);
      },
    );
  } catch (error) {
    result.free();
    throw error;
  }
  return result;
}

/** On this thread alone: more would take the cores from those that read. */
function makePanels(machine: Machine, stored: Stored, { address, bytes }: Piece, depth: number): void {
  using frame = machine.memory.frame();
  const { floatPanels, halfPanels } = machine.kernels(pack);
  const rowBytes = bytesPerElement[stored] * depth;
  (stored === 'float32' ? floatPanels : halfPanels)({
    at: address,
    scratch: frame.take(8 * rowBytes),
    groups: bytes / (8 * rowBytes),
    depth,
    rowBytes,
  });
}

function isFinite16(machine: Machine, { address, bytes }: Piece): boolean {
  using frame = machine.memory.frame();
  const flag = frame.ints(Int32Array.of(0));
  machine.kernels(pack).checkFloat16({ at: address, bytes, flag });
  return machine.memory.ints(flag, 1)[0] === 0;
}

/** Rows `ids` (an address of int32) of a matrix, to [count, depth] at `target`. */
export function gatherRows(
  machine: Machine,
  { address: panels, depth, stored }: Panels,
  ids: number,
  count: number,
  target: number,
): void {
  const { gather, gatherBfloat16, gatherFloat16 } = machine.kernels(pack);
  const kernel = { float32: gather, bfloat16: gatherBfloat16, float16: gatherFloat16 }[stored];
  kernel({ panels, ids, target, count, depth });
}

/** Rows that are not there yet: a call that writes, for each unit, `height` rows after the last unit's, from row `from` on. */
export type MakeRows = (from: number, height: number) => Call;

/** A matrix of which element (row, at) lies at `address` + row * rowStride + at * depthStride (bytes). */
export interface Matrix {
  readonly address: number;
  readonly rows: number;
  readonly depth: number;
  readonly rowStride: number;
  readonly depthStride: number;
  /** What comes before its rows are read: they are then still in the cache of the thread that reads them. */
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

/** Calls to be made before those that read the rows. */
export const making = ({ make }: Matrix, from: number, height: number): Call[] => (make ? [make(from, height)] : []);

function makeRows(machine: Machine, matrix: Matrix, from: number, count: number): void {
  if (matrix.make && count > 0) machine.run([machine.rowsTask(count, 8 * matrix.depth, matrix.make(from, 1))]);
}

/** Which kernel packs groups of so many rows. */
const packerOf = { 4: 'packRows4', 6: 'packRows6', 8: 'packRows8' } as const;

/** Rows packed for products: groups of `width`, [depth][width] each; of the last group only what there is, or zeros. */
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

/** As `packLeft`, of rows that lie one behind another or `stride` bytes apart, as calls of one unit. Returns where it is. */
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

/** The left side of a product: tiles of 4 rows, the last narrower. A single row is its own tile. Returns its address. */
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

/** The right side of a product, for a matrix that is no weight. */
export function packRight(machine: Machine, frame: Frame, matrix: Matrix): Panels {
  const { rows, depth } = matrix;
  const address = frame.take(4 * roundUp(rows, 8) * depth);
  packMatrix(machine, matrix, 8, address, true);
  return { address, rows, depth, stride: 32 * depth, stored: 'float32' };
}
