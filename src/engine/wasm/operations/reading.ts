/** Reading a weight's rows into the machine's memory, while rows read before are worked on. */
import { bytesPerElement, type WeightSource } from '../../weight.js';
import { panelRows } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';

/** Bytes of one read: so few that a piece is still in the second-level cache when it has arrived. */
const pieceBytes = 1 << 20;
/** Rows of a weight's matrix from `row` on, as they are in the file, with zeros up to a multiple of 8 rows. */
export interface Piece {
  readonly address: number;
  readonly bytes: number;
  readonly row: number;
  readonly rows: number;
}

/** Reads all rows of a weight, row `row` of a matrix to `place`, and visits the pieces as they come. */
export async function readPieces(
  machine: Machine,
  source: WeightSource,
  place: (matrix: number, row: number) => number,
  visit: (piece: Piece) => void,
): Promise<void> {
  const [height, depth] = source.shape.slice(-2);
  const matrices = source.shape.length === 3 ? source.shape[0] : 1;
  const rowBytes = depth * bytesPerElement[source.dtype];
  const step = panelRows * Math.max(1, Math.floor(pieceBytes / rowBytes / panelRows));
  const read = async (matrix: number, row: number): Promise<void> => {
    const rows = Math.min(step, height - row);
    const address = place(matrix, row);
    const bytes = machine.memory.bytes(address, roundUp(rows, panelRows) * rowBytes);
    const [first, end] = [matrix * height + row, matrix * height + row + rows];
    if (source.readInto) await source.readInto(first, end, bytes.subarray(0, rows * rowBytes));
    else bytes.set(await source.readRows(first, end));
    bytes.fill(0, rows * rowBytes);
    visit({ address, bytes: bytes.length, row: first, rows });
  };
  const pieces: Promise<void>[] = [];
  const failures: unknown[] = [];
  for (let matrix = 0; matrix < matrices; matrix++)
    for (let row = 0; row < height && failures.length === 0; row += step) {
      await machine.turns.take();
      const piece = read(matrix, row)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => machine.turns.give());
      pieces.push(piece);
      // `readRows` may use its buffer again, so each piece is done before the next is read.
      if (!source.readInto) await piece;
    }
  // Also after a failure: reads still under way must not write to memory that was freed.
  await Promise.all(pieces);
  if (failures.length > 0) throw failures[0];
}
