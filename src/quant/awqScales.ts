/**
 * AWQ's scales (Lin et al., 2023; docs/formats.md, 'AWQ algorithm'): inputs that are large on average are divided, and
 * the weights' columns that read them multiplied, so that rounding harms these columns less.
 */
import { decodeFloats, type WeightSource } from '../engine/index.js';

/** Ratios r that are tried: 0, 1/20, ..., 19/20. */
const ratios = Array.from({ length: 20 }, (_, i) => i / 20);

/** Rows of a weight that are read at a time. */
const rowsAtOnce = 1024;

/**
 * Mean over all rows of |w| / (largest |w| of its group in its row), by columns: how much a column sticks out. The
 * weights [out, in] count as one, below each other.
 */
export async function weightMeans(sources: readonly WeightSource[], groupSize: number): Promise<Float64Array> {
  const width = sources[0].shape[1];
  const size = groupSize === -1 ? width : groupSize;
  const sums = new Float64Array(width);
  for (const source of sources)
    for (let first = 0; first < source.shape[0]; first += rowsAtOnce) {
      const last = Math.min(source.shape[0], first + rowsAtOnce);
      addShares(sums, decodeFloats(await source.readRows(first, last), source.dtype), width, size);
    }
  const rows = sources.reduce((sum, { shape }) => sum + shape[0], 0);
  return sums.map((sum) => sum / rows);
}

function addShares(sums: Float64Array, values: Float32Array, width: number, size: number): void {
  for (let row = 0; row < values.length; row += width)
    for (let from = 0; from < width; from += size) {
      const to = Math.min(width, from + size);
      let most = 0;
      for (let i = from; i < to; i++) most = Math.max(most, Math.abs(values[row + i]));
      for (let i = from; i < to; i++) sums[i] += Math.abs(values[row + i]) / (most + 1e-6);
    }
}

/** s = x^r / w^(1 - r) by columns, spread evenly about 1; what is not a number becomes 1. */
export function candidateScales(inputMeans: Float64Array, means: Float64Array, ratio: number): Float64Array {
  const scales = inputMeans.map((x, i) => Math.max(x ** ratio / (means[i] ** (1 - ratio) + 1e-4), 1e-4));
  let [least, most] = [Infinity, 0];
  for (const scale of scales) {
    least = Math.min(least, scale);
    most = Math.max(most, scale);
  }
  const middle = Math.sqrt(most * least);
  return scales.map((scale) => {
    const spread = scale / middle;
    return spread > 0 && spread < Infinity ? spread : 1;
  });
}

export interface ScaleSearch {
  readonly scales: Float64Array;
  readonly ratio: number;
  readonly loss: number;
}

/** The candidate of least loss, the first of equals; a loss that is not a number never wins. */
export async function searchScales(
  inputMeans: Float64Array,
  means: Float64Array,
  lossOf: (scales: Float64Array) => Promise<number>,
): Promise<ScaleSearch> {
  let best: ScaleSearch = { scales: new Float64Array(inputMeans.length).fill(1), ratio: NaN, loss: Infinity };
  for (const ratio of ratios) {
    const scales = candidateScales(inputMeans, means, ratio);
    const loss = await lossOf(scales);
    if (loss < best.loss) best = { scales, ratio, loss };
  }
  return best;
}
