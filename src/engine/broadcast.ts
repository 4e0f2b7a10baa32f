import type { Shape } from './errors.js';
import { sizeOf } from './tensor.js';

/** x seen as [rows, width]; to its element (row, column) belongs y's element row * rowStride + column * columnStride. */
export interface Broadcast {
  readonly rows: number;
  readonly width: number;
  readonly rowStride: number;
  readonly columnStride: 0 | 1;
}

/** y has x's shape, x's last sizes (repeated over the first), one number a row ([T, 1] for [T, D]) or a single element. */
export function broadcastOf(x: Shape, y: Shape = []): Broadcast | undefined {
  const [rows, width] = [sizeOf(x.slice(0, -1)), x.at(-1) ?? 1];
  if (sizeOf(y) === 1) return { rows, width, rowStride: 0, columnStride: 0 };
  if (y.length > x.length) return undefined;
  const agree = (sizes: Shape, others: Shape): boolean => sizes.every((size, i) => size === others[i]);
  if (y.length === x.length && agree(y, x)) return { rows, width, rowStride: width, columnStride: 1 };
  if (y.length === x.length && y.at(-1) === 1 && agree(y.slice(0, -1), x))
    return { rows, width, rowStride: 1, columnStride: 0 };
  const repeated = sizeOf(y);
  if (!agree(y, x.slice(x.length - y.length)) || y.length === x.length) return undefined;
  return { rows: sizeOf(x.slice(0, x.length - y.length)), width: repeated, rowStride: 0, columnStride: 1 };
}
