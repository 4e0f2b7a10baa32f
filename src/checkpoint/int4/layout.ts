import {
  UserError,
  middle,
  readInt4Rows,
  type Int4Rows,
  type Int4Source,
  type Shape,
  type WeightDType,
} from '../../engine/index.js';
import { weightDTypes, type TensorInfo } from '../safetensorsHeader.js';
import type { TensorToWrite } from '../tensorToWrite.js';
import type { StoredInt4 } from './storedInt4.js';

/** Reads the tensors of a quantized weight `X.weight`, each named by the end of its name: `X.qweight` is `qweight`. */
export interface Parts {
  /** Name of the weight. */
  readonly name: string;
  info(part: string): TensorInfo | undefined;
  /** Bytes [start, end) of a tensor's data. @defaultValue all of it */
  read(part: string, start?: number, end?: number): Promise<Uint8Array>;
}

/** How a format stores weights of 4-bit integers: the tensors that stand for `X.weight`. */
export interface Int4Layout {
  /**
   * Ends of the tensors' names, those that every weight has first. A tensor with the very first end tells that a weight
   * is quantized.
   */
  readonly parts: readonly string[];
  /** How many of `parts` every weight has. */
  readonly required: number;
  open(parts: Parts): Promise<StoredInt4>;
  /** What is stored otherwise than the config says, by one weight of the file. */
  oddity?(parts: Parts): Promise<string | undefined>;
  /**
   * The tensors to write for a source. A group of the file may span several of the source. UserError for what the
   * format cannot hold.
   */
  write(source: Int4Source, groupSize: number): TensorToWrite[];
}

/** The shape of a tensor of words. */
export function wordsShape(parts: Parts, part: string): Shape {
  const { dtype, shape } = parts.info(part)!;
  if ((dtype !== 'I32' && dtype !== 'U32') || shape.length !== 2)
    throw new UserError(
      `tensor ${partName(parts.name, part)} is ${dtype} [${shape.join(',')}], expected a matrix of I32`,
    );
  return shape;
}

/** Fails where a tensor has another shape than the weight's other tensors imply. */
export function expectShape(parts: Parts, part: string, wanted: Shape): void {
  const { shape } = parts.info(part)!;
  if (shape.join() !== wanted.join())
    throw new UserError(
      `tensor ${partName(parts.name, part)} is [${shape.join(',')}], expected [${wanted.join(',')}] beside the integers of ${parts.name}`,
    );
}

/** Fails where the groups of the columns are not whole numbers, one a column. */
export function expectGroupIndices(parts: Parts, part: string, width: number): void {
  expectShape(parts, part, [width]);
  const { dtype } = parts.info(part)!;
  if (dtype !== 'I32') throw new UserError(`tensor ${partName(parts.name, part)} is ${dtype}, expected I32`);
}

/** The scales' type, which must be one of floats. */
export function scaleType(parts: Parts, part: string): WeightDType {
  const { dtype } = parts.info(part)!;
  const type = weightDTypes[dtype];
  if (!type)
    throw new UserError(`tensor ${partName(parts.name, part)} is ${dtype}, expected scales of F16, BF16 or F32`);
  return type;
}

/**
 * The groups of a layout that stores inputs first, checked: `scales` [groups, out] and `qzeros` [groups, out / 8] for a
 * weight [out, in].
 */
export function turnedGroups(
  parts: Parts,
  [out, width]: readonly [number, number],
  groupSizes: readonly number[],
): { count: number; size: number; scaleDType: WeightDType } {
  const scaleDType = scaleType(parts, 'scales');
  const [count] = parts.info('scales')!.shape;
  const size = count === 1 ? width : groupSizeOf(groupSizes, width, count);
  if (size === undefined)
    throw new UserError(
      `${parts.name} has ${count} groups in rows of ${width}, expected ${groupCount(width, groupSizes[0])} of ${groupSizes.join(' or ')} as the config says`,
    );
  expectShape(parts, 'scales', [count, out]);
  wordsShape(parts, 'qzeros');
  expectShape(parts, 'qzeros', [count, out / 8]);
  return { count, size, scaleDType };
}

/** Of the sizes that a config names, -1 for a whole row, the one that makes `count` groups of a row; undefined where none does. */
export function groupSizeOf(groupSizes: readonly number[], width: number, count: number): number | undefined {
  const fitting = groupSizes
    .map((size) => (size < 0 ? width : size))
    .filter((size) => groupCount(width, size) === count);
  return fitting.find((size) => width % size === 0) ?? fitting[0];
}

/** `X.weight` -> `X.qweight` */
export const partName = (weight: string, part: string): string => weight.replace(/weight$/, part);

/** The zero point 8 for `count` groups that store none. */
export const middles = (count: number): Uint8Array => new Uint8Array(count).fill(middle);

/**
 * All rows of a source in the file's groups. Groups of the source that one of the file spans must have the same scale
 * and zero point.
 */
export async function allRows(source: Int4Source, groupSize: number): Promise<Int4Rows> {
  const [out, width] = source.shape;
  const rowBytes = Math.ceil(width / 2);
  const [from, to] = [groupCount(width, source.format.groupSize), groupCount(width, groupSize)];
  const quants = new Uint8Array(out * rowBytes);
  const scales = new Uint16Array(out * to);
  const zeros = source.format.zeroPoints ? new Uint8Array(out * to) : undefined;
  const step = Math.max(1, Math.floor((4 << 20) / rowBytes));
  const ratio = to === 1 ? from : groupSize / source.format.groupSize;
  for (let row = 0; row < out; row += step) {
    const end = Math.min(out, row + step);
    const rows = await readInt4Rows(source, row, end);
    quants.set(rows.quants, row * rowBytes);
    scales.set(merged(source, rows.scales, from, to, ratio), row * to);
    if (rows.zeros) zeros?.set(merged(source, rows.zeros, from, to, ratio), row * to);
  }
  return { quants, scales, zeros };
}

export const groupCount = (width: number, groupSize: number): number =>
  groupSize < 0 ? 1 : Math.ceil(width / groupSize);

function merged<T extends Uint8Array | Uint16Array>(
  source: Int4Source,
  values: T,
  from: number,
  to: number,
  ratio: number,
): T {
  if (from === to) return values;
  const out = new (values.constructor as new (length: number) => T)((values.length / from) * to);
  for (let i = 0; i < values.length; i++) {
    const group = Math.floor(i / from) * to + Math.floor((i % from) / ratio);
    if ((i % from) % ratio === 0) out[group] = values[i];
    else if (out[group] !== values[i])
      throw new UserError(
        `${source.name}: a row's groups of ${source.format.groupSize} have scales of their own, so they cannot be stored as larger ones`,
      );
  }
  return out;
}

/** Fails unless a weight's sizes are multiples of what a format packs together: groups, words, tiles. */
export function checkDivides(
  format: string,
  { name, shape, format: { groupSize: own } }: Int4Source,
  groupSize: number,
  multiples: { readonly in?: number; readonly out?: number },
): void {
  const [out, width] = shape;
  const refuse = (why: string, hint?: string): never => {
    throw new UserError(`${format} cannot hold ${name} [${shape.join(',')}]: ${why}`, { hint });
  };
  if (shape.length !== 2) refuse('it holds matrices [out, in] only');
  if (groupSize > 0 && groupSize % own) refuse(`its groups of ${own} do not make groups of ${groupSize}`);
  if (groupSize > 0 && width % groupSize)
    refuse(`rows of ${width} are no multiple of the group size ${groupSize}`, 'another group size may fit');
  if (multiples.in && width % multiples.in) refuse(`rows of ${width} are no multiple of ${multiples.in}`);
  if (multiples.out && out % multiples.out) refuse(`its ${out} rows are no multiple of ${multiples.out}`);
}

/** What a part of a weight is stored as. */
type PartToWrite = Omit<TensorToWrite, 'name' | 'read'> & { readonly part: string; readonly large?: boolean };

/**
 * A weight's tensors, all made when the first of them is read. Large ones are made again when needed later; small ones
 * stay in memory until they are written.
 */
export function madeTensors(
  weight: string,
  make: () => Promise<Readonly<Record<string, Uint8Array>>>,
  tensors: readonly PartToWrite[],
): TensorToWrite[] {
  const held = new Map<string, Uint8Array>();
  const take = async (part: string): Promise<Uint8Array> => {
    if (!held.has(part)) for (const [key, bytes] of Object.entries(await make())) held.set(key, bytes);
    const bytes = held.get(part)!;
    held.delete(part);
    for (const { part, large } of tensors) if (large) held.delete(part);
    return bytes;
  };
  return tensors.map(({ dtype, shape, part }) => ({
    name: partName(weight, part),
    dtype,
    shape,
    read: async function* () {
      yield await take(part);
    },
  }));
}
