/** AWQ's search for where to cut weights (docs/formats.md, 'AWQ algorithm'). */
import { decodeFloats, type WeightSource } from '../engine/index.js';
import { fitGrid, snapToGrid, type GroupOptions } from './groupQuantizer.js';
import type { RowMap } from './rowMap.js';

/** Shares of a group's largest magnitude at which it is cut. */
const shares = Array.from({ length: 10 }, (_, i) => 1 - i / 20);

const rowsAtOnce = 256;

/**
 * For every row and group the magnitude beyond which weights are cut, [out, groups]: the one that changes the group's
 * own part of the outputs least, |X_g (q(cut(w)) - w)|^2 over a sample X [tokens, in] of the inputs. With the Gram
 * matrix G_g of the group's columns of X, that is (w' - w)^T G_g (w' - w).
 */
export async function clipLimits(
  source: WeightSource,
  sample: Float32Array,
  options: GroupOptions & { readonly groupSize: 32 | 64 | 128 },
): Promise<Float32Array> {
  const [out, width] = source.shape;
  const { groupSize } = options;
  const groups = Math.ceil(width / groupSize);
  const grams = Array.from({ length: groups }, (_, group) => groupGram(sample, width, group * groupSize, groupSize));
  const limits = new Float32Array(out * groups);
  for (let first = 0; first < out; first += rowsAtOnce) {
    const values = decodeFloats(await source.readRows(first, Math.min(out, first + rowsAtOnce)), source.dtype);
    const most = largestOfGroups(values, width, groupSize);
    const least = new Float64Array(most.length).fill(Infinity);
    for (const share of shares) {
      const limit = most.map((value) => Math.fround(share * value));
      const rounded = values.slice();
      clipGroups(limit, groupSize)(rounded, 0, width);
      snapToGrid(rounded, width, fitGrid(rounded, width, options, source.name, first));
      for (let i = 0; i < values.length; i++) rounded[i] -= values[i];
      for (let i = 0; i < most.length; i++) {
        const from = Math.floor(i / groups) * width + (i % groups) * groupSize;
        const error = quadraticForm(grams[i % groups], rounded, from);
        if (error >= least[i]) continue;
        least[i] = error;
        limits[first * groups + i] = limit[i];
      }
    }
  }
  return limits;
}

/** Cuts every weight to its group's limit; `limits` count from the source's first row. */
export const clipGroups =
  (limits: Float32Array, groupSize: number): RowMap =>
  (values, firstRow, width) => {
    const groups = Math.ceil(width / groupSize);
    for (let row = 0; row < values.length / width; row++)
      for (let column = 0; column < width; column++) {
        const limit = limits[(firstRow + row) * groups + Math.floor(column / groupSize)];
        const at = row * width + column;
        values[at] = Math.max(-limit, Math.min(limit, values[at]));
      }
  };

function largestOfGroups(values: Float32Array, width: number, groupSize: number): Float32Array {
  const groups = Math.ceil(width / groupSize);
  const most = new Float32Array((values.length / width) * groups);
  for (let i = 0; i < values.length; i++) {
    const at = Math.floor(i / width) * groups + Math.floor((i % width) / groupSize);
    most[at] = Math.max(most[at], Math.abs(values[i]));
  }
  return most;
}

/** X_g^T X_g of a group's columns, the last group's perhaps fewer. */
function groupGram(sample: Float32Array, width: number, from: number, groupSize: number): Float64Array {
  const size = Math.min(groupSize, width - from);
  const gram = new Float64Array(size * size);
  for (let at = from; at < sample.length; at += width)
    for (let i = 0; i < size; i++) {
      const x = sample[at + i];
      for (let j = 0; j <= i; j++) gram[i * size + j] += x * sample[at + j];
    }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) gram[j * size + i] = gram[i * size + j];
  return gram;
}

/** d^T G d for the elements of `d` from `from`. */
function quadraticForm(gram: Float64Array, d: Float32Array, from: number): number {
  const size = Math.sqrt(gram.length);
  let total = 0;
  for (let i = 0; i < size; i++) {
    // The halves of G are equal: the one below the diagonal counts twice.
    let sum = 0;
    for (let j = 0, at = i * size; j < i; j++, at++) sum += gram[at] * d[from + j];
    total += d[from + i] * (2 * sum + gram[i * size + i] * d[from + i]);
  }
  return total;
}
