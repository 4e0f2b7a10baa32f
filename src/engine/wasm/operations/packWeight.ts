/** Float weights: read, laid out as panels, and looked up by row. */
import type { PackedWeight } from '../../backend.js';
import { NotFiniteError } from '../../errors.js';
import { exponents } from '../../finite.js';
import { bytesPerElement, type WeightDType, type WeightSource } from '../../weight.js';
import { pack } from '../kernels/pack.js';
import { panelBytes, panelRows, type Panels } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';
import { Block, type Memory } from '../runtime/memory.js';
import { readPieces, type Piece } from './reading.js';

/** A weight's panels. A weight that came in 16 bits stays so: half the memory to hold, and to read for each token. */
class PanelBlock extends Block {
  constructor(
    memory: Memory,
    bytes: number,
    readonly stored: WeightDType,
  ) {
    super(memory, bytes);
  }
}

/** Matrix `index` of a weight: the weight itself, or one of its experts. */
export function panelsOf({ storage, shape }: PackedWeight, index = 0): Panels {
  const [rows, depth] = shape.slice(-2);
  const { address, stored } = storage as PanelBlock;
  const stride = panelRows * bytesPerElement[stored] * depth;
  return { address: address + index * (roundUp(rows, panelRows) / panelRows) * stride, rows, depth, stride, stored };
}

/** Reads a weight to where its panels will be, and makes panels of each piece that has come. */
export async function packWeight(machine: Machine, source: WeightSource): Promise<Block> {
  const [rows, depth] = source.shape.slice(-2);
  const stored = source.dtype;
  const rowBytes = bytesPerElement[stored] * depth;
  const padded = roundUp(rows, panelRows);
  const result = new PanelBlock(machine.memory, panelBytes(source), stored);
  let refused: Piece | undefined;
  try {
    await readPieces(
      machine,
      source,
      (matrix, row) => result.address + (matrix * padded + row) * rowBytes,
      (piece) => {
        if (!isFinite(machine, stored, piece)) {
          refused ??= piece;
          throw new NotFiniteError(
            `tensor ${source.name} holds a value that is not finite, in row ${piece.row} or later`,
            {
              tensor: source.name,
            },
          );
        }
        makePanels(machine, stored, piece, depth);
      },
    );
  } catch (error) {
    result.free();
    // Read again by the source's own way, a file says where the value is.
    if (refused) await source.readRows(refused.row, refused.row + refused.rows);
    throw error;
  }
  return result;
}

/** Runs on this thread alone: other threads would take cores from those that read. */
function makePanels(machine: Machine, stored: WeightDType, { address, bytes }: Piece, depth: number): void {
  using frame = machine.memory.frame();
  const { floatPanels, halfPanels } = machine.kernels(pack);
  const rowBytes = bytesPerElement[stored] * depth;
  (stored === 'float32' ? floatPanels : halfPanels)({
    at: address,
    scratch: frame.take(panelRows * rowBytes),
    groups: bytes / (panelRows * rowBytes),
    depth,
    rowBytes,
  });
}

function isFinite(machine: Machine, stored: WeightDType, { address, bytes }: Piece): boolean {
  using frame = machine.memory.frame();
  const flag = frame.ints(Int32Array.of(0));
  const [bits, one] = exponents[stored];
  machine.kernels(pack).checkFinite({ at: address, bytes, bits, one, flag });
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
