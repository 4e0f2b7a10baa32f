import { UserError, shownValue, sizeOf, type Shape } from '../../engine/index.js';
import { otherKind } from '../otherKinds.js';

import { ggmlBytes, ggmlTypes, type GgmlType } from './ggmlTypes.js';
import { ByteReader, aligned, alignment, magic, version } from './ggufFormat.js';

/** Where a tensor lies. */
export interface TensorEntry {
  /** [.., out, in] */
  readonly shape: Shape;
  readonly type: GgmlType;
  /** From the beginning of the file. */
  readonly begin: number;
  readonly bytes: number;
}

export interface GgufHead {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly entries: ReadonlyMap<string, TensorEntry>;
}

/**
 * Reads metadata and tensor list from the first bytes of a file of `size` bytes. Throws `ShortRead` where they go on
 * behind these bytes. UserError for what cannot be, by the tensor's name: tensors lie one behind the other, up to the end
 * of the file, so a wrong count of them shows.
 */
export function parseHead(path: string, bytes: Uint8Array, size: number): GgufHead {
  const read = new ByteReader(path, bytes);
  if (read.u32() !== magic) {
    const other = otherKind(bytes);
    throw new UserError(`${path} is no GGUF file${other ? `, but ${other.what}` : ''}`, { hint: other?.hint });
  }
  const found = read.u32();
  // Version 2 has the same layout.
  if (found !== version && found !== 2)
    throw new UserError(`${path} is GGUF version ${found}, but versions 2 and ${version} are read`, {
      hint: found > 2 ** 16 ? 'its numbers are big-endian' : undefined,
    });
  const tensors = read.u64();
  const values = read.u64();
  const metadata: Record<string, unknown> = {};
  for (let i = 0; i < values; i++) {
    const key = read.string();
    if (Object.hasOwn(metadata, key)) throw new UserError(`${path} holds the key ${key} twice`);
    metadata[key] = read.value();
  }
  const list: Listed[] = [];
  for (let i = 0; i < tensors; i++)
    try {
      list.push(tensorOf(path, read));
    } catch (error) {
      if (!(error instanceof UserError) || error.hint !== undefined) throw error;
      const hint = 'is the count of tensors in its head wrong?';
      throw new UserError(`${error.message}: tensor ${i + 1} of ${tensors}`, { hint, cause: error });
    }
  const start = aligned(read.position, alignmentOf(path, metadata));
  const entries = new Map<string, TensorEntry>();
  let next = start;
  for (const { name, shape, type, offset } of list) {
    if (entries.has(name)) throw new UserError(`${path} holds the tensor ${name} twice`);
    const width = shape[shape.length - 1];
    if (width % ggmlTypes[type].block)
      throw new UserError(
        `${path}: tensor ${name} [${shape.join(',')}] is ${type}, whose rows are multiples of ${ggmlTypes[type].block}`,
      );
    const [begin, length] = [start + offset, ggmlBytes(type, sizeOf(shape))];
    if (begin !== next)
      throw new UserError(`${path}: tensor ${name} begins at byte ${begin}, expected ${next} behind the one before`);
    if (begin + length > size)
      throw new UserError(`${path} is truncated: tensor ${name} ends at byte ${begin + length}, the file at ${size}`);
    entries.set(name, { shape, type, begin, bytes: length });
    next = start + aligned(offset + length, alignmentOf(path, metadata));
  }
  if (list.length && size > next)
    throw new UserError(
      `${path} lists ${list.length} tensors, the last of which, ${list.at(-1)!.name}, ends at byte ${next}, but the file has ${size}`,
      { hint: 'is the count of tensors in its head wrong?' },
    );
  return { metadata, entries };
}

interface Listed {
  readonly name: string;
  readonly shape: Shape;
  readonly type: GgmlType;
  /** From the first tensor's beginning. */
  readonly offset: number;
}

function tensorOf(path: string, read: ByteReader): Listed {
  const name = read.string();
  const rank = read.u32();
  if (!name || rank < 1 || rank > 4)
    throw new UserError(`${path}: tensor ${shownValue(name)} has ${rank} dimensions, which cannot be`);
  const shape = Array.from({ length: rank }, () => read.u64()).reverse();
  return { name, shape, type: typeOf(path, name, read.u32()), offset: read.u64() };
}

function alignmentOf(path: string, metadata: Readonly<Record<string, unknown>>): number {
  const found = metadata['general.alignment'] ?? alignment;
  if (typeof found !== 'number' || !Number.isInteger(found) || found < 1)
    throw new UserError(`${path}: general.alignment must be a whole number of at least 1, found ${shownValue(found)}`);
  return found;
}

function typeOf(path: string, name: string, id: number): GgmlType {
  const found = Object.entries(ggmlTypes).find(([, layout]) => layout.id === id);
  if (!found)
    throw new UserError(`${path}: tensor ${name} is of ggml type ${id}, which is not read`, {
      hint: `${Object.keys(ggmlTypes).join(', ')} are`,
    });
  return found[0] as GgmlType;
}
