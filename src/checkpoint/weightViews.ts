import {
  UserError,
  bytesPerElement,
  groupsOf,
  middle,
  type Int4Rows,
  type Int4Source,
  type WeightSource,
} from '../engine/index.js';
import { castSource } from './rowViews.js';

const rowsOf = ({ shape }: WeightSource): number => shape.slice(0, -1).reduce((product, size) => product * size, 1);
const rowBytesOf = ({ shape, dtype }: WeightSource): number => (shape[shape.length - 1] ?? 1) * bytesPerElement[dtype];

/** Reads rows [start, end) of each piece, one piece after the other; a single piece is not copied. */
async function gather(pieces: readonly { source: WeightSource; start: number; end: number }[]): Promise<Uint8Array> {
  if (pieces.length === 1) return pieces[0].source.readRows(pieces[0].start, pieces[0].end);
  const out = new Uint8Array(
    pieces.reduce((sum, { source, start, end }) => sum + (end - start) * rowBytesOf(source), 0),
  );
  let at = 0;
  for (const { source, start, end } of pieces) {
    out.set(await source.readRows(start, end), at);
    at += (end - start) * rowBytesOf(source);
  }
  return out;
}

/**
 * Rows [start, end) of a view as pieces of the sources it is made of: each block of `blockRows` rows lies where `place`
 * says.
 */
function cut(
  start: number,
  end: number,
  blockRows: number,
  place: (block: number) => { source: WeightSource; first: number },
): { source: WeightSource; start: number; end: number }[] {
  const pieces = [];
  for (let row = start; row < end;) {
    const block = Math.floor(row / blockRows);
    const stop = Math.min(end, (block + 1) * blockRows);
    const { source, first } = place(block);
    pieces.push({ source, start: first + row - block * blockRows, end: first + stop - block * blockRows });
    row = stop;
  }
  return pieces;
}

function checkRows(name: string, rows: number, start: number, end: number): void {
  if (!(start >= 0 && start <= end && end <= rows))
    throw new RangeError(`${name}: rows [${start}, ${end}) do not lie within its ${rows} rows`);
}

/** Sources of one shape [out, in] as [sources, out, in], in float32 where their types differ. Throws UserError when shapes do. */
export function stackedSource(sources: readonly WeightSource[], name = sources[0]?.name ?? 'stack'): WeightSource {
  if (!sources.length) throw new UserError(`${name}: there is nothing to stack`);
  const [first] = sources;
  for (const { name, shape } of sources) {
    if (shape.join() !== first.shape.join())
      throw new UserError(
        `${name} is [${shape.join(',')}], expected the same as ${first.name}: [${first.shape.join(',')}]`,
      );
  }
  if (sources.some(({ dtype }) => dtype !== first.dtype))
    return stackedSource(
      sources.map((source) => castSource(source, 'float32')),
      name,
    );
  const blockRows = rowsOf(first);
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    checkRows(name, blockRows * sources.length, start, end);
    return start === end
      ? new Uint8Array(0)
      : gather(cut(start, end, blockRows, (block) => ({ source: sources[block], first: 0 })));
  };
  return { name, shape: [sources.length, ...first.shape], dtype: first.dtype, readRows };
}

/**
 * Int4 sources of one shape [out, in] and group size as [sources, out, in]; undefined where these differ. If one source
 * has zero points, the result has them throughout.
 */
export function stackedInt4(sources: readonly Int4Source[], name = sources[0].name): Int4Source | undefined {
  const [first] = sources;
  const { groupSize, minima } = first.format;
  const alike = ({ shape, format }: Int4Source): boolean =>
    shape.join() === first.shape.join() && format.groupSize === groupSize && !format.minima === !minima;
  if (first.shape.length !== 2 || !sources.every(alike)) return undefined;
  const [blockRows, width] = first.shape;
  const format = { groupSize, zeroPoints: sources.some((source) => source.format.zeroPoints), minima };
  const [rowBytes, groups] = [Math.ceil(width / 2), groupsOf(width, format)];
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    checkRows(name, blockRows * sources.length, start, end);
    const quants = new Uint8Array((end - start) * rowBytes);
    const scales = new Uint16Array((end - start) * groups);
    const zeros = format.zeroPoints ? new Uint8Array((end - start) * groups).fill(middle) : undefined;
    const least = minima ? new Uint16Array((end - start) * groups) : undefined;
    for (let row = start; row < end;) {
      const block = Math.floor(row / blockRows);
      const stop = Math.min(end, (block + 1) * blockRows);
      const rows = await sources[block].readInt4(row - block * blockRows, stop - block * blockRows);
      quants.set(rows.quants, (row - start) * rowBytes);
      scales.set(rows.scales, (row - start) * groups);
      if (rows.zeros) zeros!.set(rows.zeros, (row - start) * groups);
      if (rows.minima) least!.set(rows.minima, (row - start) * groups);
      row = stop;
    }
    return { quants, scales, zeros, minima: least };
  };
  return { name, shape: [sources.length, ...first.shape], dtype: 'int4', format, readInt4 };
}

/**
 * Rows [start, end) of a source as [end - start, in], counted over all but the last axis: expert e of a fused
 * [experts, out, in] is `sliceSource(source, e * out, (e + 1) * out)`.
 */
export function sliceSource(
  source: WeightSource,
  start: number,
  end: number,
  name = `${source.name}[${start}:${end}]`,
): WeightSource {
  checkRows(name, rowsOf(source), start, end);
  const readRows = async (from: number, to: number): Promise<Uint8Array> => {
    checkRows(name, end - start, from, to);
    return source.readRows(start + from, start + to);
  };
  return { name, shape: [end - start, source.shape[source.shape.length - 1]], dtype: source.dtype, readRows };
}

/** Some of a source along its first axis, in the order of `picks`: rows of a matrix, or experts of [experts, out, in]. */
export function pickedSource(source: WeightSource, picks: readonly number[], name = source.name): WeightSource {
  const [size, ...rest] = source.shape;
  const blockRows = rowsOf(source) / size;
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    checkRows(name, blockRows * picks.length, start, end);
    return start === end
      ? new Uint8Array(0)
      : gather(cut(start, end, blockRows, (block) => ({ source, first: picks[block] * blockRows })));
  };
  return { name, shape: [picks.length, ...rest], dtype: source.dtype, readRows };
}

/**
 * Rows [start, end) of every expert: [experts, out, in] becomes [experts, end - start, in]. The gate half of a fused
 * `gate_up_proj` [experts, 2 * inner, hidden] is `sliceExperts(source, 0, inner)`.
 */
export function sliceExperts(
  source: WeightSource,
  start: number,
  end: number,
  name = `${source.name}[:, ${start}:${end}]`,
): WeightSource {
  if (source.shape.length !== 3)
    throw new UserError(`${source.name} is [${source.shape.join(',')}], expected [experts, out, in]`);
  const [experts, out, width] = source.shape;
  checkRows(name, out, start, end);
  const readRows = async (from: number, to: number): Promise<Uint8Array> => {
    checkRows(name, experts * (end - start), from, to);
    return from === to
      ? new Uint8Array(0)
      : gather(cut(from, to, end - start, (expert) => ({ source, first: expert * out + start })));
  };
  return { name, shape: [experts, end - start, width], dtype: source.dtype, readRows };
}
