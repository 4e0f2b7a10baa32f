/** Reading a weight's rows into the machine's memory, while rows read before are worked on. */
import { bytesPerElement, type WeightSource } from '../../weight.js';
import { panelRows } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';

/** Bytes read at once: small enough for a piece to be in the second-level cache still when it has come. */
const pieceBytes = 1 << 20;
/** Rows from `row` on of a weight's matrix, as they are in the file: a multiple of 8, the last of them perhaps zeros. */
export interface Piece {
  readonly address: number;
  readonly bytes: number;
  readonly row: number;
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
    visit({ address, bytes: bytes.length, row: first });
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
      // Rows given out are the caller's until the next call only.
      if (!source.readInto) await piece;
    }
  // Also after a failure: what is still being read must not come into memory that was freed.
  await Promise.all(pieces);
  if (failures.length > 0) throw failures[0];
}
