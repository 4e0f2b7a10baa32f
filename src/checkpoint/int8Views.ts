/** Int8 sources made of other int8 sources, as `rowViews.ts`, `weightViews.ts` and `joinedViews.ts` do with floats. */
import type { Int8Rows, Int8Source, Shape } from '../engine/index.js';
import { rotaryRow, rowsOf, widthOf, type RotaryOrder } from './rowViews.js';

const groupsOf = (source: Pick<Int8Source, 'shape' | 'format'>): number =>
  Math.ceil(widthOf(source) / source.format.groupSize);

function emptyRows(source: Pick<Int8Source, 'shape' | 'format'>, count: number): Int8Rows {
  return { quants: new Int8Array(count * widthOf(source)), scales: new Uint16Array(count * groupsOf(source)) };
}

/** Rows [start, end) as a matrix: an expert of [experts, out, in]. */
export const sliceInt8 = (source: Int8Source, start: number, end: number, name: string): Int8Source => ({
  ...source,
  name,
  shape: [end - start, widthOf(source)],
  readInt8: (from, to) => source.readInt8(start + from, start + to),
});

/** Rows with each head's in the order `to`, as `rotaryOrdered`. */
export function rotaryOrderedInt8(source: Int8Source, headDim: number, to: RotaryOrder): Int8Source {
  const [width, groups] = [widthOf(source), groupsOf(source)];
  const readInt8 = async (start: number, end: number): Promise<Int8Rows> => {
    const first = start - (start % headDim);
    const { quants, scales } = await source.readInt8(first, Math.ceil(end / headDim) * headDim);
    const out = emptyRows(source, end - start);
    for (let row = start; row < end; row++) {
      const from = row - (row % headDim) - first + rotaryRow(row % headDim, headDim, to);
      out.quants.set(quants.subarray(from * width, (from + 1) * width), (row - start) * width);
      out.scales.set(scales.subarray(from * groups, (from + 1) * groups), (row - start) * groups);
    }
    return out;
  };
  return { ...source, readInt8 };
}

/** Sources [rows, in] one above the other; undefined where their widths or groups differ. */
export function joinedInt8(sources: readonly Int8Source[], name: string): Int8Source | undefined {
  const rows = sources.reduce((sum, source) => sum + rowsOf(source), 0);
  return aboveEachOther(sources, name, [rows, widthOf(sources[0])]);
}

/** Sources of one shape [out, in] as [sources, out, in]; undefined where shapes or groups differ. */
export function stackedInt8(sources: readonly Int8Source[], name = sources[0].name): Int8Source | undefined {
  const [{ shape }] = sources;
  if (sources.some((source) => source.shape.join() !== shape.join())) return undefined;
  return aboveEachOther(sources, name, [sources.length, ...shape]);
}

function aboveEachOther(sources: readonly Int8Source[], name: string, shape: Shape): Int8Source | undefined {
  const [{ format }] = sources;
  const width = widthOf({ shape });
  const alike = (source: Int8Source): boolean =>
    widthOf(source) === width && source.format.groupSize === format.groupSize;
  if (!sources.every(alike)) return undefined;
  const groups = groupsOf({ shape, format });
  const readInt8 = async (start: number, end: number): Promise<Int8Rows> => {
    const out = emptyRows({ shape, format }, end - start);
    let above = 0;
    for (const source of sources) {
      const [from, to] = [Math.max(start, above), Math.min(end, above + rowsOf(source))];
      if (from < to) {
        const { quants, scales } = await source.readInt8(from - above, to - above);
        out.quants.set(quants, (from - start) * width);
        out.scales.set(scales, (from - start) * groups);
      }
      above += rowsOf(source);
    }
    return out;
  };
  return { name, shape, dtype: 'int8', format, readInt8 };
}
