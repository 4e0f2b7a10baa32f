import { float16ToFloat32 } from '../../src/engine/halfFloat.js';
import type { Shape } from '../../src/engine/errors.js';
import { middle, type Int4Format, type Int4Rows, type Int4Source } from '../../src/engine/int4.js';
import { random } from './backends.js';

/** A group of activations as the fast int4 mode sees them. */
interface Group {
  readonly q: Int32Array;
  readonly scale: number;
}

/** Groups whose largest magnitude is less count as zeros. */
const smallest = 2 ** -100;

function nearestEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** One group to integers from -127 to 127, every operation rounded to float32. */
function quantizeGroup(x: Float32Array): Group {
  const most = x.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  if (most < smallest) return { q: new Int32Array(x.length), scale: 0 };
  const inverse = Math.fround(127 / most);
  return {
    q: Int32Array.from(x, (value) => nearestEven(Math.fround(value * inverse))),
    scale: Math.fround(most / 127),
  };
}

/**
 * What the fast int4 mode computes, [rows, out]: integers summed exactly within a group, groups in order in float32. The
 * kernels must give the same bits.
 */
export function int4Model(x: Float32Array, weights: Int4Rows, width: number, { groupSize }: Int4Format): Float32Array {
  const rows = x.length / width;
  const groups = Math.ceil(width / groupSize);
  const rowBytes = Math.ceil(width / 2);
  const out = weights.scales.length / groups;
  const y = new Float32Array(rows * out);
  for (let row = 0; row < rows; row++) {
    const input = Array.from({ length: groups }, (_, group) =>
      quantizeGroup(
        x.subarray(row * width + group * groupSize, row * width + Math.min(width, (group + 1) * groupSize)),
      ),
    );
    for (let o = 0; o < out; o++) {
      let total = 0;
      input.forEach(({ q, scale }, group) => {
        const zero = weights.minima ? 0 : weights.zeros ? weights.zeros[o * groups + group] : middle;
        let sum = 0;
        q.forEach((value, i) => {
          const column = group * groupSize + i;
          const byte = weights.quants[o * rowBytes + (column >> 1)];
          sum += value * ((column % 2 === 0 ? byte & 15 : byte >> 4) - zero);
        });
        const factor = Math.fround(scale * float16ToFloat32(weights.scales[o * groups + group]));
        total = Math.fround(total + Math.fround(Math.fround(sum) * factor));
        if (!weights.minima) return;
        const least = Math.fround(scale * float16ToFloat32(weights.minima[o * groups + group]));
        const all = q.reduce((a, b) => a + b, 0);
        total = Math.fround(total + Math.fround(all * least));
      });
      y[row * out + o] = total;
    }
  }
  return y;
}

/**
 * Random integers, scales of many sizes (some negative, some subnormal), and zero points or minima, some of which nearly
 * undo their scale; the same for the same seed.
 */
export function int4RowsOf(seed: number, rows: number, width: number, format: Int4Format): Int4Rows {
  const { groupSize, zeroPoints, minima } = format;
  const groups = Math.ceil(width / groupSize);
  const draw = (offset: number, count: number, most: number): Int32Array =>
    Int32Array.from(random(seed + offset, [count]), (value) => ((value + 1) / 2) * most);
  const kind = draw(1, rows * groups, 20);
  const halves = (offset: number): Uint16Array =>
    Uint16Array.from(
      draw(offset, rows * groups, 0x1000),
      (bits, i) => (kind[i] % 2 === 0 ? 0x8000 : 0) | (kind[i] < 2 ? bits & 0x7ff : 0x1800 + bits),
    );
  return {
    quants: Uint8Array.from(draw(2, rows * Math.ceil(width / 2), 256)),
    scales: halves(3),
    // About 8 times as large as a scale, with the other sign.
    ...(minima ? { minima: halves(5).map((half) => (half ^ 0x8000) + 0xc00) } : {}),
    ...(zeroPoints ? { zeros: Uint8Array.from(draw(4, rows * groups, 16)) } : {}),
  };
}

/** A source of rows in memory, from row `first` on. */
export function rowsSource(
  name: string,
  shape: Shape,
  format: Int4Format,
  { quants, scales, zeros, minima }: Int4Rows,
  first = 0,
): Int4Source {
  const width = shape[shape.length - 1];
  const [rowBytes, groups] = [Math.ceil(width / 2), Math.ceil(width / format.groupSize)];
  const part = <T extends Uint8Array | Uint16Array>(of: T, per: number, start: number, end: number): T =>
    of.subarray((first + start) * per, (first + end) * per) as T;
  return {
    name,
    shape,
    dtype: 'int4',
    format,
    readInt4: async (start, end) => ({
      quants: part(quants, rowBytes, start, end),
      scales: part(scales, groups, start, end),
      zeros: zeros && part(zeros, groups, start, end),
      minima: minima && part(minima, groups, start, end),
    }),
  };
}
