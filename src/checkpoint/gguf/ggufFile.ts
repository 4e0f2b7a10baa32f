import {
  UserError,
  checkRead,
  encodeFloats,
  type Int4Source,
  type Int8Source,
  type Shape,
  type WeightSource,
} from '../../engine/index.js';
import { fileError } from '../fileError.js';
import { fileSystem, type OpenFile } from '../files/index.js';
import { blockInt4 } from './blockInt4.js';
import { blockInt8 } from './blockInt8.js';
import { decodeGgml } from './decodeBlocks.js';
import { floatType, ggmlBytes, type GgmlType } from './ggmlTypes.js';
import { ShortRead } from './ggufFormat.js';
import { parseHead, type GgufHead, type TensorEntry } from './ggufHead.js';
import { partsOf } from './splitFiles.js';

interface Entry extends TensorEntry {
  readonly part: GgufPart;
}

/**
 * A GGUF file, read by position: opening it reads metadata and tensor list only. Of a file that is split into several the
 * first is opened, and its metadata counts.
 */
export class GgufFile implements AsyncDisposable {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly #entries = new Map<string, Entry>();

  private constructor(
    readonly path: string,
    private readonly parts: readonly GgufPart[],
  ) {
    this.metadata = parts[0].head.metadata;
    for (const part of parts)
      for (const [name, entry] of part.head.entries) {
        if (this.#entries.has(name)) throw new UserError(`${part.path} holds the tensor ${name} once more`);
        this.#entries.set(name, { ...entry, part });
      }
  }

  /** UserError for a file that is none, of another version, truncated, or that contradicts itself. */
  static async open(path: string): Promise<GgufFile> {
    const opened: GgufPart[] = [];
    try {
      opened.push(await GgufPart.open(path));
      const others = partsOf(path, opened[0].head.metadata);
      for (const other of others.paths) opened.push(await GgufPart.open(other));
      const file = new GgufFile(path, opened);
      others.check(file.tensorNames().length);
      return file;
    } catch (error) {
      await Promise.all(opened.map((part) => part.close()));
      throw error;
    }
  }

  /** Bytes read so far, heads included. */
  get bytesRead(): number {
    return this.parts.reduce((sum, part) => sum + part.bytesRead, 0);
  }

  tensorNames(): string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  type(name: string): GgmlType {
    return this.#entry(name).type;
  }

  /** Type, shape [.., out, in] and bytes of a tensor. */
  info(name: string): { readonly dtype: GgmlType; readonly shape: Shape; readonly bytes: number } {
    const { type, shape, bytes } = this.#entry(name);
    return { dtype: type, shape, bytes };
  }

  /** A tensor's stored rows [start, end). */
  async encodedRows(name: string, start: number, end: number): Promise<Uint8Array> {
    const { shape, type, begin, part } = this.#entry(name);
    const rowBytes = ggmlBytes(type, shape[shape.length - 1]);
    return part.read(begin + start * rowBytes, (end - start) * rowBytes);
  }

  /** A tensor as a weight [out, in]; blocks are decoded to float32. */
  source(name: string): WeightSource {
    const { shape, type } = this.#entry(name);
    const dtype = floatType(type) ?? 'float32';
    const readRows = async (start: number, end: number): Promise<Uint8Array> => {
      const stored = await this.encodedRows(name, start, end);
      const bytes = floatType(type) ? stored : encodeFloats(decodeGgml(stored, type), 'float32');
      checkRead(bytes, { path: this.path, tensor: name, dtype, shape, first: start * shape[shape.length - 1] });
      return bytes;
    };
    return { name, shape, dtype, readRows };
  }

  /** A tensor as the integers of its blocks; undefined where these are none that the engine multiplies. */
  int4(name: string): Int4Source | undefined {
    const { shape, type } = this.#entry(name);
    return blockInt4(name, shape, type, (start, end) => this.encodedRows(name, start, end));
  }

  /** The same of up to 8 bits. */
  int8(name: string): Int8Source | undefined {
    const { shape, type } = this.#entry(name);
    return blockInt8(name, shape, type, (start, end) => this.encodedRows(name, start, end));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.parts.map((part) => part.close()));
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (!entry) throw new UserError(`${this.path} has no tensor ${name}`);
    return entry;
  }
}

/** One file of perhaps several. */
class GgufPart {
  private constructor(
    readonly path: string,
    private readonly handle: OpenFile,
    readonly head: GgufHead,
    public bytesRead: number,
  ) {}

  static async open(path: string): Promise<GgufPart> {
    const handle = await fileSystem.open(path).catch((error: unknown) => {
      throw fileError(error, 'cannot read', path);
    });
    try {
      const { size } = await handle.stat();
      // How long the head is turns out only at its end, so it is read in ever longer pieces.
      for (let length = 1 << 20; ; length *= 4) {
        const bytes = await readAt(handle, path, 0, Math.min(length, size));
        try {
          return new GgufPart(path, handle, parseHead(path, bytes, size), bytes.byteLength);
        } catch (error) {
          if (!(error instanceof ShortRead)) throw error;
          if (length >= size) throw new UserError(`${path} is truncated: its head goes beyond its ${size} bytes`);
        }
      }
    } catch (error) {
      await handle.close();
      throw fileError(error, 'cannot read', path);
    }
  }

  read(position: number, length: number): Promise<Uint8Array> {
    this.bytesRead += length;
    return readAt(this.handle, this.path, position, length);
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

async function readAt(handle: OpenFile, path: string, position: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(into, done, Math.min(length - done, 1 << 30), position + done);
    if (bytesRead === 0)
      throw new UserError(`${path} ends at byte ${position + done}, expected at least ${position + length}`);
    done += bytesRead;
  }
  return into;
}
