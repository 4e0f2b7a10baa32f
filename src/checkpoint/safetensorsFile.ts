import { UserError, checkRead, type Shape, type WeightDType, type WeightSource } from '../engine/index.js';
import { fileError } from './fileError.js';
import { fileSystem, type OpenFile } from './files/index.js';
import { otherKind, telling } from './otherKinds.js';
import {
  longestHeader,
  parseSafetensorsHeader,
  safetensorsBytes,
  weightDTypes,
  type SafetensorsDType,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorInfo,
} from './safetensorsHeader.js';

/** A tensor whose bytes (little-endian, row-major) are read piece by piece: what the writer takes. */
export interface RawTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: Shape;
  /** The bytes in order; each piece is the caller's until the next. */
  read(): AsyncIterable<Uint8Array>;
}

/** One system call reads or writes at most this many bytes (Node's own limit is 2 GiB). */
const largestCall = 1 << 30;
const pieceBytes = 4 << 20;
/** Sources keep buffers of up to this size from one read to the next (bytes). */
const largestKeptBuffer = 16 << 20;

/**
 * A .safetensors file, read by position: opening it reads the header only, and no handle is held until data is read.
 * Every mistake in the file is a UserError that names the file and the tensor.
 */
export class SafetensorsFile {
  #handle?: Promise<OpenFile>;
  #closed = false;
  #bytesRead: number;

  private constructor(
    readonly path: string,
    private readonly header: SafetensorsHeader,
    private readonly dataStart: number,
    private readonly finite: boolean,
  ) {
    this.#bytesRead = dataStart;
  }

  /** @param finite refuses NaN and infinity as they are read, as a NotFiniteError: for files of weights. */
  static async open(path: string, { finite = false }: { finite?: boolean } = {}): Promise<SafetensorsFile> {
    const handle = await openForReading(path);
    try {
      const size = (await handle.stat()).size;
      const begin = await readAt(handle, path, 0, fileSystem.bytes(Math.min(size, telling)));
      if (size < 8)
        throw new UserError(`${path} is truncated: a safetensors file begins with 8 length bytes, found ${size} bytes`);
      const length = new DataView(begin.buffer).getBigUint64(0, true);
      const other = length > size - 8 ? otherKind(begin) : undefined;
      if (other) throw new UserError(`${path} is ${other.what}`, { hint: other.hint });
      if (length > size - 8)
        throw new UserError(
          `${path}: the header claims ${length} bytes, but the file has ${size - 8} behind its length`,
          { hint: 'the file is truncated or is not a safetensors file' },
        );
      if (length > longestHeader)
        throw new UserError(`${path}: the header claims ${length} bytes, expected at most ${longestHeader}`, {
          hint: 'is it a safetensors file?',
        });
      const json = await readAt(handle, path, 8, fileSystem.bytes(Number(length)));
      const dataStart = 8 + Number(length);
      return new SafetensorsFile(path, parseSafetensorsHeader(path, json, size - dataStart), dataStart, finite);
    } catch (error) {
      throw fileError(error, 'cannot read', path);
    } finally {
      await handle.close();
    }
  }

  /** The file's `__metadata__`, such as `{ format: 'pt' }`. */
  get metadata(): Readonly<Record<string, string>> {
    return this.header.metadata;
  }

  /** Bytes read from the disk so far, header included. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** In the order of the data. */
  tensorNames(): string[] {
    return [...this.header.tensors.keys()];
  }

  has(name: string): boolean {
    return this.header.tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape, bytes } = this.#entry(name);
    return { dtype, shape, bytes };
  }

  /** A tensor of F32, F16 or BF16 as a weight; its rows are read when asked for. */
  source(name: string): WeightSource {
    const entry = this.#entry(name);
    const dtype = weightDTypes[entry.dtype];
    if (!dtype)
      throw new UserError(`${this.path}: tensor ${name} is ${entry.dtype}, but a weight must be F32, F16 or BF16`);
    const width = entry.shape.length ? entry.shape[entry.shape.length - 1] : 1;
    const rowBytes = width * safetensorsBytes[entry.dtype];
    const rows = rowBytes ? entry.bytes / rowBytes : 0;
    const read = (start: number, end: number, into: Uint8Array, checked: boolean): Promise<Uint8Array> => {
      checkRows(name, rows, start, end);
      const part = into.subarray(0, (end - start) * rowBytes);
      return checked ? this.#readOf(name, start * rowBytes, part) : this.#read(entry.begin + start * rowBytes, part);
    };
    return new TensorRows(name, entry.shape, dtype, rowBytes, read);
  }

  /** Any tensor as bytes. */
  raw(name: string): RawTensor {
    const { dtype, shape, bytes } = this.#entry(name);
    const read = async function* (this: SafetensorsFile): AsyncGenerator<Uint8Array> {
      const piece = fileSystem.bytes(Math.min(bytes, pieceBytes));
      for (let done = 0; done < bytes; done += piece.byteLength)
        yield await this.#readOf(name, done, piece.subarray(0, Math.min(piece.byteLength, bytes - done)));
    };
    return { name, dtype, shape, read: read.bind(this) };
  }

  /** Bytes [start, end) of a tensor's data, in a buffer of their own. @defaultValue all of them */
  async bytes(name: string, start = 0, end = this.info(name).bytes): Promise<Uint8Array> {
    const { bytes } = this.#entry(name);
    if (!(start >= 0 && start <= end && end <= bytes))
      throw new RangeError(`${name}: bytes [${start}, ${end}) do not lie within its ${bytes}`);
    return this.#readOf(name, start, fileSystem.bytes(end - start));
  }

  /** Closes the file. What is read of it later opens it for that alone. */
  async close(): Promise<void> {
    this.#closed = true;
    const handle = this.#handle;
    this.#handle = undefined;
    await (await handle?.catch(() => undefined))?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #entry(name: string): TensorEntry {
    const entry = this.header.tensors.get(name);
    if (!entry) throw new UserError(`${this.path} has no tensor ${name}`);
    return entry;
  }

  /** A tensor's data from byte `from` on. */
  async #readOf(name: string, from: number, into: Uint8Array): Promise<Uint8Array> {
    const { dtype: stored, shape, begin } = this.#entry(name);
    await this.#read(begin + from, into);
    const dtype = this.finite && weightDTypes[stored];
    if (dtype) checkRead(into, { path: this.path, tensor: name, dtype, shape, first: from / safetensorsBytes[stored] });
    return into;
  }

  async #read(begin: number, into: Uint8Array): Promise<Uint8Array> {
    if (!this.#closed)
      this.#handle ??= openForReading(this.path).catch((error: unknown) => {
        this.#handle = undefined;
        throw error;
      });
    const kept = this.#handle;
    const handle = await (kept ?? openForReading(this.path));
    try {
      await readAt(handle, this.path, this.dataStart + begin, into);
    } finally {
      if (!kept) await handle.close();
    }
    this.#bytesRead += into.byteLength;
    return into;
  }
}

/** Rows of a tensor in a file. */
class TensorRows implements WeightSource {
  #kept = fileSystem.bytes(0);

  constructor(
    readonly name: string,
    readonly shape: Shape,
    readonly dtype: WeightDType,
    private readonly rowBytes: number,
    private readonly read: (start: number, end: number, into: Uint8Array, checked: boolean) => Promise<Uint8Array>,
  ) {}

  readonly readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const bytes = Math.max(0, end - start) * this.rowBytes;
    const buffer = this.#kept.byteLength < bytes ? fileSystem.bytes(bytes) : this.#kept;
    if (buffer.byteLength <= largestKeptBuffer) this.#kept = buffer;
    return this.read(start, end, buffer, true);
  };

  /** A method, not a property: `{ ...source, readRows }`, another view of the rows, must not have it. */
  async readInto(start: number, end: number, into: Uint8Array): Promise<void> {
    await this.read(start, end, into, false);
  }
}

function checkRows(name: string, rows: number, start: number, end: number): void {
  if (!(start >= 0 && start <= end && end <= rows))
    throw new RangeError(`${name}: rows [${start}, ${end}) do not lie within its ${rows} rows`);
}

async function openForReading(path: string): Promise<OpenFile> {
  return fileSystem.open(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
}

async function readAt(
  handle: OpenFile,
  path: string,
  position: number,
  into: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>>;
async function readAt(handle: OpenFile, path: string, position: number, into: Uint8Array): Promise<Uint8Array>;
async function readAt(handle: OpenFile, path: string, position: number, into: Uint8Array): Promise<Uint8Array> {
  for (let done = 0; done < into.byteLength;) {
    const length = Math.min(into.byteLength - done, largestCall);
    const { bytesRead } = await handle.read(into, done, length, position + done).catch((error: unknown) => {
      throw fileError(error, 'cannot read', path);
    });
    if (bytesRead === 0)
      throw new UserError(`${path} ends at byte ${position + done}, expected at least ${position + into.byteLength}`, {
        hint: 'did it change while it was read?',
      });
    done += bytesRead;
  }
  return into;
}
