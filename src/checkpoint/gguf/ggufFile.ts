import { open, type FileHandle } from 'node:fs/promises';
import { UserError, encodeFloats, sizeOf, type Shape, type WeightSource } from '../../engine/index.js';
import { fileError } from '../fileError.js';
import { otherKind } from '../otherKinds.js';
import { decodeGgml } from './decodeBlocks.js';
import { floatType, ggmlBytes, ggmlTypes, type GgmlType } from './ggmlTypes.js';
import { ByteReader, ShortRead, aligned, alignment, magic, version } from './ggufFormat.js';

interface Entry {
  readonly shape: Shape;
  readonly type: GgmlType;
  /** From the beginning of the file. */
  readonly begin: number;
}

/** A GGUF file, read by position: opening it reads metadata and tensor list only. */
export class GgufFile implements AsyncDisposable {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    readonly metadata: Readonly<Record<string, unknown>>,
    private readonly entries: ReadonlyMap<string, Entry>,
  ) {}

  static async open(path: string): Promise<GgufFile> {
    const handle = await open(path, 'r').catch((error: unknown) => {
      throw fileError(error, 'cannot read', path);
    });
    try {
      const { size } = await handle.stat();
      // How long the head is turns out only at its end, so it is read in ever longer pieces.
      for (let length = 1 << 20; ; length *= 4) {
        const bytes = await readAt(handle, path, 0, Math.min(length, size));
        try {
          return new GgufFile(path, handle, ...parseHead(path, bytes, size));
        } catch (error) {
          if (!(error instanceof ShortRead)) throw error;
          if (length >= size) throw new UserError(`${path} is truncated: its head goes beyond its ${size} bytes`);
        }
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  tensorNames(): string[] {
    return [...this.entries.keys()];
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  type(name: string): GgmlType {
    return this.#entry(name).type;
  }

  /** A tensor's stored rows [start, end). */
  async encodedRows(name: string, start: number, end: number): Promise<Uint8Array> {
    const { shape, type, begin } = this.#entry(name);
    const rowBytes = ggmlBytes(type, shape[shape.length - 1]);
    return readAt(this.handle, this.path, begin + start * rowBytes, (end - start) * rowBytes);
  }

  /** A tensor as a weight [out, in]; blocks are decoded to float32. */
  source(name: string): WeightSource {
    const { shape, type } = this.#entry(name);
    const dtype = floatType(type);
    const readRows = async (start: number, end: number): Promise<Uint8Array> => {
      const bytes = await this.encodedRows(name, start, end);
      return dtype ? bytes : encodeFloats(decodeGgml(bytes, type), 'float32');
    };
    return { name, shape, dtype: dtype ?? 'float32', readRows };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }

  #entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) throw new UserError(`${this.path} has no tensor ${name}`);
    return entry;
  }
}

type Head = [metadata: Record<string, unknown>, entries: Map<string, Entry>];

function parseHead(path: string, bytes: Uint8Array, size: number): Head {
  const read = new ByteReader(path, bytes);
  if (read.u32() !== magic) {
    const other = otherKind(bytes);
    throw new UserError(`${path} is no GGUF file${other ? `, but ${other.what}` : ''}`, { hint: other?.hint });
  }
  const found = read.u32();
  if (found !== version) throw new UserError(`${path} is GGUF version ${found}, but version ${version} is read`);
  const tensors = read.u64();
  const values = read.u64();
  const metadata: Record<string, unknown> = {};
  for (let i = 0; i < values; i++) {
    const key = read.string();
    if (key in metadata) throw new UserError(`${path} holds the key ${key} twice`);
    metadata[key] = read.value();
  }
  const list: { name: string; shape: number[]; type: GgmlType; offset: number }[] = [];
  for (let i = 0; i < tensors; i++) {
    const name = read.string();
    const rank = read.u32();
    if (rank > 4) throw new UserError(`${path}: tensor ${name} has ${rank} dimensions, which cannot be`);
    const shape = Array.from({ length: rank }, () => read.u64()).reverse();
    list.push({ name, shape, type: typeOf(path, name, read.u32()), offset: read.u64() });
  }
  const start = aligned(read.position, (metadata['general.alignment'] as number | undefined) ?? alignment);
  const entries = new Map<string, Entry>();
  for (const { name, shape, type, offset } of list) {
    if (entries.has(name)) throw new UserError(`${path} holds the tensor ${name} twice`);
    const end = start + offset + ggmlBytes(type, sizeOf(shape));
    if (end > size)
      throw new UserError(`${path} is truncated: tensor ${name} ends at byte ${end}, the file at ${size}`);
    entries.set(name, { shape, type, begin: start + offset });
  }
  return [metadata, entries];
}

function typeOf(path: string, name: string, id: number): GgmlType {
  const found = Object.entries(ggmlTypes).find(([, layout]) => layout.id === id);
  if (!found)
    throw new UserError(`${path}: tensor ${name} is of ggml type ${id}`, {
      hint: `${Object.keys(ggmlTypes).join(', ')} are read`,
    });
  return found[0] as GgmlType;
}

async function readAt(handle: FileHandle, path: string, position: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(into, done, Math.min(length - done, 1 << 30), position + done);
    if (bytesRead === 0)
      throw new UserError(`${path} ends at byte ${position + done}, expected at least ${position + length}`);
    done += bytesRead;
  }
  return into;
}
