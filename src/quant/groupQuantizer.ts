import {
  decodeFloats,
  flag,
  float16ToFloat32,
  groupsOf,
  middle,
  oneOf,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
  type Options,
  type WeightSource,
} from '../engine/index.js';
import { checkRange, rangeWithZero, roundUpToFloat16 } from './groupRange.js';
import type { RowMap } from './rowMap.js';

/** How the weights of a row share scales, and how a group's scale is chosen. */
export interface GroupOptions {
  /** Weights along a row that share a scale; -1 for the whole row. */
  readonly groupSize: 32 | 64 | 128 | -1;
  /** Zero in the middle, or a zero point a group. */
  readonly symmetric: boolean;
  /**
   * The scale of a symmetric group of largest magnitude M.
   *
   * - `sevenths`: M / 7, as `rtn`: q from 1 to 15, M itself is kept.
   * - `full`: M / 7.5, as GPTQ and compressed-tensors: finer steps, for which M is cut to 7 of them. GPTQ's quirk, M / 15
   *   for a group without negative weights, whose larger half is then cut off, is not followed.
   *
   * Either way, and with zero points, `|w - w'| <= scale / 2`, since scales are rounded up to a float16.
   * @defaultValue 'full'
   */
  readonly range?: 'sevenths' | 'full';
  /** `search` shrinks each group's range to where the sum of squared errors is least. @defaultValue 'none' */
  readonly clip?: 'none' | 'search';
}

/** What these may be. */
export const groupOptions: Options<GroupOptions> = {
  groupSize: oneOf([32, 64, 128, -1]),
  symmetric: flag,
  range: oneOf(['sevenths', 'full']),
  clip: oneOf(['none', 'search']),
};

/** Scales and zero points of rows, before anything is rounded to them. */
export interface Grid {
  /** As it is stored: of a whole row, groups of 128 that have the same scale. */
  readonly format: Int4Format;
  /** Stored groups of a row. */
  readonly groups: number;
  /** [rows, groups]: float16 bits, and their values. */
  readonly scales: Uint16Array;
  readonly steps: Float64Array;
  /** [rows, groups], 8 throughout where it is symmetric. */
  readonly zeros: Uint8Array;
}

/** Shares of the range that the search tries; beyond half of it the clipped weights always cost more. */
const searched = Array.from({ length: 21 }, (_, i) => 1 - i / 40);
const whole = [1];

export const storedFormat = ({ groupSize, symmetric }: GroupOptions): Int4Format => ({
  groupSize: groupSize === -1 ? 128 : groupSize,
  zeroPoints: !symmetric,
});

/** The grid of rows [rows, width]; what is not finite, or too large for a float16 scale, is refused by name and row. */
export function fitGrid(values: Float32Array, width: number, options: GroupOptions, name: string, firstRow = 0): Grid {
  const format = storedFormat(options);
  const groups = groupsOf(width, format);
  const rows = values.length / width;
  const fitted = options.groupSize === -1 ? groups : 1;
  const scales = new Uint16Array(rows * groups);
  const steps = new Float64Array(rows * groups);
  const zeros = new Uint8Array(rows * groups);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group += fitted) {
      const from = row * width + group * format.groupSize;
      const to = Math.min((row + 1) * width, from + fitted * format.groupSize);
      const { half, step, zero } = fitGroup(values, from, to, options, name, firstRow + row);
      const first = row * groups + group;
      for (let at = first; at < first + fitted; at++) {
        scales[at] = half;
        steps[at] = step;
        zeros[at] = zero;
      }
    }
  return { format, groups, scales, steps, zeros };
}

function fitGroup(
  values: Float32Array,
  from: number,
  to: number,
  { symmetric, range = 'full', clip }: GroupOptions,
  name: string,
  row: number,
): { half: number; step: number; zero: number } {
  const [low, high] = rangeWithZero(values, from, to);
  const needed = symmetric ? Math.max(-low, high) / (range === 'full' ? 7.5 : 7) : (high - low) / 15;
  let best = { half: 0, step: 0, zero: symmetric ? middle : 0, error: Infinity };
  for (const share of clip === 'search' ? searched : whole) {
    const half = roundUpToFloat16(share * needed);
    const step = float16ToFloat32(half);
    checkRange(low, high, step, name, row);
    if (step === 0) break; // all are zeros
    const zero = symmetric ? middle : Math.min(15, Math.round((-share * low) / step));
    const error = clip === 'search' ? squaredError(values, from, to, step, zero) : 0;
    if (error < best.error) best = { half, step, zero, error };
  }
  return best;
}

function squaredError(values: Float32Array, from: number, to: number, step: number, zero: number): number {
  const inverse = 1 / step;
  let sum = 0;
  for (let i = from; i < to; i++) {
    const difference = values[i] - step * (nearest(values[i], inverse, zero) - zero);
    sum += difference * difference;
  }
  return sum;
}

/** The integer from 0 to 15 that stands for a value; `inverse` is 1 / scale, 0 for a scale of 0. */
export function nearest(value: number, inverse: number, zero: number): number {
  const q = Math.floor(value * inverse + 0.5) + zero;
  return q < 0 ? 0 : q > 15 ? 15 : q;
}

/** Rows [rows, width] on a grid. */
export function roundToGrid(values: Float32Array, width: number, grid: Grid): Int4Rows {
  const integers = new Uint8Array(values.length);
  eachGroup(values.length / width, width, grid, (from, to, step, zero) => {
    const inverse = step === 0 ? 0 : 1 / step;
    for (let i = from; i < to; i++) integers[i] = nearest(values[i], inverse, zero);
  });
  return packIntegers(integers, width, grid);
}

/** What rows [rows, width] become when rounded to a grid, in place. */
export function snapToGrid(values: Float32Array, width: number, grid: Grid): void {
  eachGroup(values.length / width, width, grid, (from, to, step, zero) => {
    const inverse = step === 0 ? 0 : 1 / step;
    for (let i = from; i < to; i++) values[i] = step * (nearest(values[i], inverse, zero) - zero);
  });
}

function eachGroup(
  rows: number,
  width: number,
  { format: { groupSize }, groups, steps, zeros }: Grid,
  visit: (from: number, to: number, step: number, zero: number) => void,
): void {
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++) {
      const from = row * width + group * groupSize;
      const at = row * groups + group;
      visit(from, Math.min((row + 1) * width, from + groupSize), steps[at], zeros[at]);
    }
}

/** Integers [rows, width], one a byte, as they are stored. */
export function packIntegers(integers: Uint8Array, width: number, { format, scales, zeros }: Grid): Int4Rows {
  const rowBytes = Math.ceil(width / 2);
  const rows = integers.length / width;
  const quants = new Uint8Array(rows * rowBytes);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < width; column++)
      quants[row * rowBytes + (column >> 1)] |= integers[row * width + column] << (column % 2 ? 4 : 0);
  return { quants, scales, zeros: format.zeroPoints ? zeros : undefined };
}

/** Rows as int4 holds them. */
export const snapped =
  (options: GroupOptions, name: string): RowMap =>
  (values, firstRow, width) =>
    snapToGrid(values, width, fitGrid(values, width, options, name, firstRow));

/** A source rounded to nearest in groups as rows are read. */
export function groupQuantized(source: WeightSource, options: GroupOptions): Int4Source {
  const { name, shape } = source;
  const width = shape[shape.length - 1];
  return {
    name,
    shape,
    dtype: 'int4',
    format: storedFormat(options),
    readInt4: async (start, end) => {
      const values = decodeFloats(await source.readRows(start, end), source.dtype);
      return roundToGrid(values, width, fitGrid(values, width, options, name, start));
    },
  };
}
