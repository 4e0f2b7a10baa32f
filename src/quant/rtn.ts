import { decodeFloats, type Int4Format, type Int4Rows, type Int4Source, type WeightSource } from '../engine/index.js';
import { fitGrid } from './groupQuantizer.js';
import { int4Format, type Int4Options } from './int4Options.js';

/**
 * Round to nearest: each group on its own, without looking at activations.
 *
 * - Symmetric: scale = largest magnitude / 7, q from 1 to 15, zero 8.
 * - Asymmetric: scale = (largest - smallest) / 15 over the weights and 0, q from 0 to 15, zero the integer nearest to
 *   where 0 lies.
 *
 * The scale is rounded up to a float16, so that nothing needs clamping by more than a rounding: for every weight
 * `|w - scale * (q - zero)| <= scale / 2`. Zeros stay zeros, and order within a group is kept.
 */
export function rtn(source: WeightSource, options: Int4Options = {}): Int4Source {
  const format = int4Format(options);
  const width = source.shape[source.shape.length - 1];
  return {
    name: source.name,
    shape: source.shape,
    dtype: 'int4',
    format,
    readInt4: async (start, end) =>
      quantizeRows(decodeFloats(await source.readRows(start, end), source.dtype), width, format, source.name, start),
  };
}

/** Rows of floats [rows, width]; `name` and `firstRow` are for messages. */
export function quantizeRows(
  values: Float32Array,
  width: number,
  format: Int4Format,
  name: string,
  firstRow = 0,
): Int4Rows {
  const symmetric = !format.zeroPoints;
  const grid = fitGrid(values, width, { groupSize: format.groupSize, symmetric, range: 'sevenths' }, name, firstRow);
  const { groups, steps, scales, zeros } = grid;
  const rows = values.length / width;
  const rowBytes = Math.ceil(width / 2);
  const quants = new Uint8Array(rows * rowBytes);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++) {
      const from = row * width + group * format.groupSize;
      const to = Math.min((row + 1) * width, from + format.groupSize);
      const step = steps[row * groups + group];
      // A group of zeros takes any factor; this one leaves them at its zero point.
      const inverse = step === 0 ? 0 : 1 / step;
      // Unlike `nearest`, adds the zero point before it rounds: values that are a half, but for float64's last bit, may
      // fall to the other side.
      const shift = zeros[row * groups + group] + 0.5;
      let at = row * rowBytes + ((group * format.groupSize) >> 1);
      for (let i = from; i < to; i += 2, at++) {
        const even = Math.max(0, Math.min(15, values[i] * inverse + shift)) & 15;
        const odd = i + 1 < to ? Math.max(0, Math.min(15, values[i + 1] * inverse + shift)) & 15 : 0;
        quants[at] = even | (odd << 4);
      }
    }
  return { quants, scales, zeros: symmetric ? undefined : zeros };
}
