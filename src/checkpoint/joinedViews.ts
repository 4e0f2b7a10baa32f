import { groupsOf, middle, type Int4Rows, type Int4Source, type WeightSource } from '../engine/index.js';
import { castSource, rowsOf, widthOf } from './rowViews.js';

/** Rows [start, end) of sources that lie one above the other, as rows of each. */
function cut<S extends { readonly shape: readonly number[] }>(
  sources: readonly S[],
  start: number,
  end: number,
): { source: S; from: number; to: number; at: number }[] {
  let first = 0;
  return sources.flatMap((source) => {
    const [above, below] = [first, (first += rowsOf(source))];
    const [from, to] = [Math.max(start, above), Math.min(end, below)];
    return from < to ? [{ source, from: from - above, to: to - above, at: from - start }] : [];
  });
}

const joinedShape = (sources: readonly { readonly shape: readonly number[] }[]): number[] => [
  sources.reduce((sum, source) => sum + rowsOf(source), 0),
  widthOf(sources[0]),
];

/** Sources [rows, in] one above the other, as a fused tensor has them; in float32 where their types differ. */
export function joinedSource(sources: readonly WeightSource[], name: string): WeightSource {
  const [{ dtype }] = sources;
  if (sources.some((source) => source.dtype !== dtype))
    return joinedSource(
      sources.map((source) => castSource(source, 'float32')),
      name,
    );
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    for (const { source, from, to } of cut(sources, start, end)) parts.push((await source.readRows(from, to)).slice());
    const out = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
    parts.reduce((at, part) => (out.set(part, at), at + part.byteLength), 0);
    return out;
  };
  return { name, shape: joinedShape(sources), dtype, readRows };
}

/** The same of integers; undefined where their groups differ. With zero points throughout where one source has any. */
export function joinedInt4(sources: readonly Int4Source[], name: string): Int4Source | undefined {
  const { groupSize, minima } = sources[0].format;
  if (sources.some(({ format }) => format.groupSize !== groupSize || !format.minima !== !minima)) return undefined;
  const format = { groupSize, zeroPoints: sources.some((source) => source.format.zeroPoints), minima };
  const width = widthOf(sources[0]);
  const [rowBytes, groups] = [Math.ceil(width / 2), groupsOf(width, format)];
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    const quants = new Uint8Array((end - start) * rowBytes);
    const scales = new Uint16Array((end - start) * groups);
    const zeros = format.zeroPoints ? new Uint8Array((end - start) * groups).fill(middle) : undefined;
    const least = minima ? new Uint16Array((end - start) * groups) : undefined;
    for (const { source, from, to, at } of cut(sources, start, end)) {
      const rows = await source.readInt4(from, to);
      quants.set(rows.quants, at * rowBytes);
      scales.set(rows.scales, at * groups);
      if (rows.zeros) zeros!.set(rows.zeros, at * groups);
      if (rows.minima) least!.set(rows.minima, at * groups);
    }
    return { quants, scales, zeros, minima: least };
  };
  return { name, shape: joinedShape(sources), dtype: 'int4', format, readInt4 };
}
