/**
 * Writes WebAssembly modules: types, one imported memory, imported functions, functions, exports. It knows the binary
 * format and nothing else; what kernels say is in `language.ts`.
 */
import { laneOps, memoryOps, plainOps, type LaneOp, type MemoryOp, type PlainOp } from './opcodes.js';

export type ValueType = 'i32' | 'f32' | 'f64' | 'v128';

const typeBytes: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b };
const noResult = 0x40;

/** LEB128, unsigned. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  do {
    const rest = Math.floor(value / 128);
    bytes.push((value % 128) + (rest > 0 ? 128 : 0));
    value = rest;
  } while (value > 0);
  return bytes;
}

/** LEB128, signed, 32 bits; 2^31 to 2^32 - 1 are taken as their two's complement. */
export function signed(value: number): number[] {
  let rest = value | 0;
  for (const bytes: number[] = []; ;) {
    const low = rest & 127;
    rest >>= 7;
    const last = (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0);
    bytes.push(last ? low : low | 128);
    if (last) return bytes;
  }
}

const littleEndian = (bytes: number, write: (view: DataView) => void): number[] => {
  const view = new DataView(new ArrayBuffer(bytes));
  write(view);
  return [...new Uint8Array(view.buffer)];
};

/** The instructions of one function. */
export class Code {
  readonly bytes: number[] = [];
  readonly locals: ValueType[] = [];
  #depth = 0;

  constructor(readonly parameters: readonly ValueType[]) {}

  /** Blocks open here; a branch to a block opened at depth d is relative: depth - d. */
  get depth(): number {
    return this.#depth;
  }

  /** Declares a local; its index follows the parameters'. */
  local(type: ValueType): number {
    return this.parameters.length + this.locals.push(type) - 1;
  }

  op(name: PlainOp): void {
    this.bytes.push(...plainOps[name]);
  }

  /** A load or store at the address on the stack plus `offset` bytes. */
  memory(name: MemoryOp, offset: number): void {
    const [opcode, align] = memoryOps[name];
    this.bytes.push(...opcode, align, ...unsigned(offset));
  }

  lane(name: LaneOp, lane: number): void {
    this.bytes.push(...laneOps[name], lane);
  }

  /** i8x16.shuffle: byte i of the result is byte `bytes[i]` of the two operands' 32. */
  shuffle(bytes: readonly number[]): void {
    this.bytes.push(0xfd, 0x0d, ...bytes);
  }

  /** An i64 is a whole number within 32 bits. */
  constant(type: 'i32' | 'i64' | 'f32' | 'f64', value: number): void {
    if (type === 'i32') this.bytes.push(0x41, ...signed(value));
    else if (type === 'i64') this.bytes.push(0x42, ...signed(value));
    else if (type === 'f32') this.bytes.push(0x43, ...littleEndian(4, (view) => view.setFloat32(0, value, true)));
    else this.bytes.push(0x44, ...littleEndian(8, (view) => view.setFloat64(0, value, true)));
  }

  /** v128.const of four 32-bit words. */
  vector(words: readonly number[]): void {
    this.bytes.push(0xfd, 0x0c, ...words.flatMap((word) => littleEndian(4, (view) => view.setInt32(0, word, true))));
  }

  get(local: number): void {
    this.bytes.push(0x20, ...unsigned(local));
  }

  set(local: number): void {
    this.bytes.push(0x21, ...unsigned(local));
  }

  call(index: number): void {
    this.bytes.push(0x10, ...unsigned(index));
  }

  open(kind: 'block' | 'loop' | 'if'): void {
    this.bytes.push({ block: 0x02, loop: 0x03, if: 0x04 }[kind], noResult);
    this.#depth++;
  }

  otherwise(): void {
    this.bytes.push(0x05);
  }

  end(): void {
    this.bytes.push(0x0b);
    this.#depth--;
  }

  branch(levels: number): void {
    this.bytes.push(0x0c, ...unsigned(levels));
  }

  branchIf(levels: number): void {
    this.bytes.push(0x0d, ...unsigned(levels));
  }
}

interface FunctionEntry {
  readonly code: Code;
  readonly exportName?: string;
}

/** The memory that a module imports as `env.memory`. */
export interface MemoryImport {
  readonly minimumPages: number;
  /** Needed where shared. */
  readonly maximumPages?: number;
  readonly shared?: boolean;
}

/** A function that a module imports. */
interface FunctionImport {
  readonly from: string;
  readonly name: string;
  readonly parameters: readonly ValueType[];
}

export class ModuleWriter {
  readonly #imports: FunctionImport[] = [];
  readonly #functions: FunctionEntry[] = [];

  /** Declares a function of another module; its index. All imports come before the first function. */
  import(from: string, name: string, parameters: readonly ValueType[]): number {
    if (this.#functions.length > 0) throw new Error('imported functions come before others');
    return this.#imports.push({ from, name, parameters }) - 1;
  }

  /** Declares a function without results; its index is known at once, its code may be written later. */
  function(parameters: readonly ValueType[], exportName?: string): { index: number; code: Code } {
    const code = new Code(parameters);
    return { index: this.#imports.length + this.#functions.push({ code, exportName }) - 1, code };
  }

  encode(memory: MemoryImport = { minimumPages: 1 }): Uint8Array {
    const { minimumPages, maximumPages, shared = false } = memory;
    const limits = [(shared ? 2 : 0) + (maximumPages === undefined ? 0 : 1), ...unsigned(minimumPages)];
    if (maximumPages !== undefined) limits.push(...unsigned(maximumPages));
    const imports = this.#imports.length;
    const types = [...this.#imports, ...this.#functions.map(({ code }) => code)].map(({ parameters }) => [
      0x60,
      ...list(parameters.map((type) => [typeBytes[type]])),
      0,
    ]);
    const imported = this.#imports.map(({ from, name }, index) => [
      ...text(from),
      ...text(name),
      0x00,
      ...unsigned(index),
    ]);
    const exported = this.#functions.flatMap(({ exportName }, index) =>
      exportName === undefined ? [] : [[...text(exportName), 0x00, ...unsigned(imports + index)]],
    );
    return Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...section(1, list(types)),
      ...section(2, list([[...text('env'), ...text('memory'), 0x02, ...limits], ...imported])),
      ...section(3, list(this.#functions.map((_, index) => unsigned(imports + index)))),
      ...section(7, list(exported)),
      ...section(10, list(this.#functions.map(({ code }) => body(code)))),
    ]);
  }
}

const list = (items: readonly (readonly number[])[]): number[] => [...unsigned(items.length), ...items.flat()];
const section = (id: number, content: readonly number[]): number[] => [id, ...unsigned(content.length), ...content];

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...unsigned(bytes.length), ...bytes];
}

function body(code: Code): number[] {
  const locals = list(code.locals.map((type) => [1, typeBytes[type]]));
  const bytes = [...locals, ...code.bytes, 0x0b];
  return [...unsigned(bytes.length), ...bytes];
}
