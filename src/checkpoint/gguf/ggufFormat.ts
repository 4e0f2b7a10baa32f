import { UserError } from '../../engine/index.js';

/** Metadata values with their types (docs/formats.md, 'GGUF container'). */
export type GgufValue =
  | { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'i32[]' | 'f32[]'; readonly value: ArrayLike<number> }
  | { readonly type: 'string[]'; readonly value: readonly string[] };

export type GgufMetadata = Readonly<Record<string, GgufValue>>;

export const u32 = (value: number): GgufValue => ({ type: 'u32', value });
export const f32 = (value: number): GgufValue => ({ type: 'f32', value });
export const bool = (value: boolean): GgufValue => ({ type: 'bool', value });
export const string = (value: string): GgufValue => ({ type: 'string', value });
export const i32s = (value: ArrayLike<number>): GgufValue => ({ type: 'i32[]', value });
export const f32s = (value: ArrayLike<number>): GgufValue => ({ type: 'f32[]', value });
export const strings = (value: readonly string[]): GgufValue => ({ type: 'string[]', value });

/** The format's numbers of the types. */
export const valueTypes = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

export const magic = 0x46554747; // 'GGUF', little-endian
export const version = 3;
export const alignment = 32;

export const aligned = (bytes: number, to = alignment): number => Math.ceil(bytes / to) * to;

/** Bytes that grow, little-endian. */
export class ByteWriter {
  #bytes = new Uint8Array(1 << 12);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #grow(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.byteLength));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  u8(value: number): void {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
  }

  u32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }

  i32(value: number): void {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
  }

  f32(value: number): void {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
  }

  u64(value: number): void {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  string(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.u64(bytes.byteLength);
    const at = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  value(given: GgufValue): void {
    switch (given.type) {
      case 'u32':
      case 'i32':
      case 'f32':
        this.u32(valueTypes[given.type]);
        this[given.type](given.value);
        return;
      case 'bool':
        this.u32(valueTypes.bool);
        this.u8(given.value ? 1 : 0);
        return;
      case 'string':
        this.u32(valueTypes.string);
        this.string(given.value);
        return;
      case 'string[]':
        this.#array('string', given.value.length);
        for (const one of given.value) this.string(one);
        return;
      case 'i32[]':
      case 'f32[]': {
        const element = given.type === 'i32[]' ? 'i32' : 'f32';
        this.#array(element, given.value.length);
        for (let i = 0; i < given.value.length; i++) this[element](given.value[i]);
      }
    }
  }

  #array(element: 'i32' | 'f32' | 'string', count: number): void {
    this.u32(valueTypes.array);
    this.u32(valueTypes[element]);
    this.u64(count);
  }

  /** All so far, and zeros up to a multiple of `to`. */
  bytes(to = 1): Uint8Array {
    const length = aligned(this.#length, to);
    this.#grow(length - this.#length);
    return this.#bytes.subarray(0, this.#length);
  }
}

/** A token may begin with a byte order mark. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Reads from the first bytes of a file. Throws `ShortRead` for a value that goes beyond them. */
export class ByteReader {
  #at = 0;
  readonly #view: DataView;

  constructor(
    private readonly path: string,
    private readonly bytes: Uint8Array,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#at;
  }

  #take(count: number): number {
    if (!(this.#at + count <= this.bytes.byteLength)) throw new ShortRead();
    const at = this.#at;
    this.#at += count;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new UserError(`${this.path} holds the count ${value}, which cannot be`);
    return Number(value);
  }

  string(): string {
    const length = this.u64();
    const at = this.#take(length);
    return utf8.decode(this.bytes.subarray(at, at + length));
  }

  value(type = this.u32()): unknown {
    const view = this.#view;
    switch (type) {
      case valueTypes.u8:
        return view.getUint8(this.#take(1));
      case valueTypes.i8:
        return view.getInt8(this.#take(1));
      case valueTypes.bool:
        return view.getUint8(this.#take(1)) !== 0;
      case valueTypes.u16:
        return view.getUint16(this.#take(2), true);
      case valueTypes.i16:
        return view.getInt16(this.#take(2), true);
      case valueTypes.u32:
        return this.u32();
      case valueTypes.i32:
        return view.getInt32(this.#take(4), true);
      case valueTypes.f32:
        return view.getFloat32(this.#take(4), true);
      case valueTypes.string:
        return this.string();
      case valueTypes.u64:
        return this.u64();
      case valueTypes.i64:
        return Number(view.getBigInt64(this.#take(8), true));
      case valueTypes.f64:
        return view.getFloat64(this.#take(8), true);
      case valueTypes.array: {
        const element = this.u32();
        const count = this.u64();
        if (count > this.bytes.byteLength) throw new ShortRead();
        return Array.from({ length: count }, () => this.value(element));
      }
      default:
        throw new UserError(`${this.path} holds a metadata value of type ${type}, which GGUF does not define`);
    }
  }
}

/** More bytes are needed than were read. */
export class ShortRead extends Error {}
