import {
  decodeFloats,
  float16ToFloat32,
  float32ToFloat16,
  middle,
  type Int4Format,
  type Int4Source,
  type WeightDType,
  type WeightSource,
} from '../../engine/index.js';
import { transposed } from './nibbleWords.js';
import type { PackedWeight } from './packedWeight.js';

/** Scales and zero points of a weight [out, in], and which columns share them. */
export interface StoredGroups {
  /** Number of groups in a row. */
  readonly count: number;
  /** Columns of a group; the last one may have fewer. */
  readonly size: number;
  /** The group of each column, where they do not simply follow each other (GPTQ's act-order). */
  readonly groupOf?: Int32Array;
  /** [out, count], in the file's own type: bits of float16 or bfloat16, or floats. */
  readonly scales: Uint16Array | Float32Array;
  readonly scaleDType: WeightDType;
  /** [out, count], 0 to 15. */
  readonly zeros?: Uint8Array;
}

/** How a layout reads one weight. */
export interface StoredReads {
  /** Columns of a group, perhaps all. */
  readonly groupSize: number;
  groups(): Promise<StoredGroups>;
  /** Rows [start, end) of the integers as `Int4Rows.quants`. */
  quants(start: number, end: number): Promise<Uint8Array>;
}

/**
 * A weight of 4-bit integers as a file holds it, in whichever layout: `scale[o, g] * (q[o, k] - zero[o, g])`, g the
 * group of column k.
 */
export class StoredInt4 implements PackedWeight {
  constructor(
    readonly name: string,
    /** [out, in] */
    readonly shape: readonly [number, number],
    private readonly reads: StoredReads,
    private readonly found: { reason?: string } = {},
  ) {}

  named(name: string): StoredInt4 {
    return new StoredInt4(name, this.shape, this.reads, this.found);
  }

  get reason(): string | undefined {
    return this.found.reason;
  }

  get fileGroup(): number {
    return this.reads.groupSize;
  }

  /** The same integers and scales in the engine's groups; undefined where these cannot hold it. Reads no integers. */
  async int4(): Promise<Int4Source | undefined> {
    const found = await this.#inGroups();
    this.found.reason = typeof found === 'string' ? found : undefined;
    return typeof found === 'string' ? undefined : found;
  }

  /** The integers in the engine's groups, or the reason why these cannot hold them. */
  async #inGroups(): Promise<Int4Source | string> {
    const groups = await this.reads.groups();
    const groupSize = engineGroup(groups);
    if (groups.groupOf) return 'its columns are not in the order of their groups';
    if (!groupSize) return `it has groups of ${groups.size}`;
    const halves = exactHalves(groups);
    if (!halves) return `a ${groups.scaleDType} scale is not a float16`;
    const width = this.shape[1];
    const of = spread(groups, Math.ceil(width / groupSize), groupSize);
    const scales = perGroup(halves, groups.count, of);
    const zeros = groups.zeros?.some((zero) => zero !== middle) ? perGroup(groups.zeros, groups.count, of) : undefined;
    return {
      name: this.name,
      shape: this.shape,
      dtype: 'int4',
      format: { groupSize, zeroPoints: zeros !== undefined },
      readInt4: async (start, end) => ({
        quants: await this.reads.quants(start, end),
        scales: scales.subarray(start * of.length, end * of.length),
        zeros: zeros?.subarray(start * of.length, end * of.length),
      }),
    };
  }

  /** The weight as float32, of any groups. */
  floats(): WeightSource {
    let groups: Promise<StoredGroups> | undefined;
    const readRows = async (start: number, end: number): Promise<Uint8Array> => {
      groups ??= this.reads.groups();
      const values = decoded(await this.reads.quants(start, end), this.shape[1], await groups, start, end);
      return new Uint8Array(values.buffer);
    };
    return { name: this.name, shape: this.shape, dtype: 'float32', readRows };
  }
}

/** The engine's largest group size of which the file's is a multiple; a row with a single group takes any. */
function engineGroup({ count, size }: StoredGroups): Int4Format['groupSize'] | undefined {
  const sizes = [128, 64, 32] as const;
  return count === 1 ? (sizes.find((engine) => size === engine) ?? 128) : sizes.find((engine) => size % engine === 0);
}

/** For each of the engine's groups, the group of the file that it is a part of. */
const spread = ({ count, size }: StoredGroups, groups: number, engine: number): Int32Array =>
  Int32Array.from({ length: groups }, (_, group) => (count === 1 ? 0 : Math.floor((group * engine) / size)));

/** Values [out, count] as [out, of.length]. */
function perGroup<T extends Uint8Array | Uint16Array>(values: T, count: number, of: Int32Array): T {
  if (of.length === count) return values;
  const out = new (values.constructor as new (length: number) => T)((values.length / count) * of.length);
  for (let row = 0, at = 0; at < out.length; row += count)
    for (let group = 0; group < of.length; group++) out[at++] = values[row + of[group]];
  return out;
}

/** Scales as float16 bits; undefined if one of them is no float16. */
function exactHalves({ scales, scaleDType }: StoredGroups): Uint16Array | undefined {
  if (scaleDType === 'float16') return scales as Uint16Array;
  const floats = floatScales(scales, scaleDType);
  const halves = Uint16Array.from(floats, float32ToFloat16);
  const inexact = floats.some((scale, i) => scale === scale && float16ToFloat32(halves[i]) !== scale);
  return inexact ? undefined : halves;
}

const floatScales = (scales: StoredGroups['scales'], dtype: WeightDType): Float32Array =>
  decodeFloats(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength), dtype);

/** Rows [start, end), their `quants` given, as floats. */
function decoded(
  quants: Uint8Array,
  width: number,
  { count, size, groupOf, scales, scaleDType, zeros }: StoredGroups,
  start: number,
  end: number,
): Float32Array {
  const values = new Float32Array((end - start) * width);
  const floats = floatScales(scales.subarray(start * count, end * count), scaleDType);
  const rowBytes = Math.ceil(width / 2);
  const groups = groupOf ?? Int32Array.from({ length: width }, (_, column) => Math.floor(column / size));
  for (let row = 0; row < end - start; row++)
    for (let column = 0; column < width; column++) {
      const byte = quants[row * rowBytes + (column >> 1)];
      const group = row * count + groups[column];
      const zero = zeros ? zeros[start * count + group] : middle;
      values[row * width + column] = floats[group] * ((column % 2 === 0 ? byte & 15 : byte >> 4) - zero);
    }
  return values;
}

/** Reads rows of a matrix that can only be decoded as a whole: it stays in memory until its last row is read. */
export function wholeMatrix(
  rows: number,
  rowBytes: number,
  read: () => Promise<Uint8Array>,
): (start: number, end: number) => Promise<Uint8Array> {
  let held: Promise<Uint8Array> | undefined;
  return async (start, end) => {
    const whole = await (held ??= read());
    if (end === rows) held = undefined;
    return whole.subarray(start * rowBytes, end * rowBytes);
  };
}

/** The group of each column by `g_idx`; undefined if they simply follow each other. */
export const unordered = (groupOf: Int32Array, size: number): Int32Array | undefined =>
  groupOf.some((group, column) => group !== Math.floor(column / size)) ? groupOf : undefined;

/** Scales of a file, [count, out] turned into [out, count]. */
export const turnedScales = (
  { dtype, bytes }: { dtype: WeightDType; bytes: Uint8Array },
  count: number,
  out: number,
): Uint16Array | Float32Array =>
  dtype === 'float32'
    ? transposed(decodeFloats(bytes, dtype), count, out)
    : transposed(new Uint16Array(bytes.slice().buffer), count, out);
