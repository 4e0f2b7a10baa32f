import type { Operand } from '../../backend.js';
import type { Storage } from '../../tensor.js';
import { mostPages, type WasmMemory } from '../compiler/webAssembly.js';
import { reserve } from './addressSpace.js';
import { Allocator } from './allocator.js';
import type { Arena } from './arena.js';
import { Views } from './views.js';

const pageBytes = 65536;

/** A block of a memory. */
export class Block implements Storage {
  #memory: Memory;
  /** What its address was taken from, and goes back to. */
  #pool: Allocator | Arena;
  #address: number;

  constructor(
    memory: Memory,
    readonly bytes: number,
  ) {
    this.#memory = memory;
    this.#pool = memory.arena ?? memory.allocator;
    this.#address = this.#pool.allocate(bytes);
  }

  get memory(): Memory {
    return this.#memory;
  }

  /** In bytes. */
  get address(): number {
    return this.#address;
  }

  /** Moves the block to another memory. */
  moveTo(memory: Memory): void {
    const address = memory.allocator.allocate(this.bytes);
    memory.bytes(address, this.bytes).set(this.#memory.bytes(this.#address, this.bytes));
    this.free();
    this.#memory.moves++;
    this.#memory = memory;
    this.#pool = memory.allocator;
    this.#address = address;
  }

  free(): void {
    this.#pool.free(this.#address, this.bytes);
  }
}

/** A WebAssembly memory of a backend: blocks, views, and frames of scratch. */
export class Memory {
  readonly wasm: WasmMemory;
  readonly allocator: Allocator;
  /** While a pass is recorded, blocks come from here and not from the allocator. */
  arena: Arena | undefined;
  /** Blocks that have left for another memory. */
  moves = 0;
  /**
   * Views that leave a recorded pass as it is: for what is the same whenever it runs, or is written anew before. All other
   * views spoil it, as the host's part in a pass is not run again with it.
   */
  readonly replayable: Views;

  constructor(limitPages = mostPages) {
    this.wasm = reserve(limitPages);
    this.replayable = new Views(this.wasm);
    this.allocator = new Allocator(pageBytes, limitPages * pageBytes, (bytes) => this.#grow(bytes));
  }

  allocate(bytes: number): Block {
    return new Block(this, bytes);
  }

  /** Blocks for the length of one call: `using frame = memory.frame()`. */
  frame(): Frame {
    return new Frame(this);
  }

  floats(address: number, count: number): Float32Array {
    return this.#spoiling().floats(address, count);
  }

  ints(address: number, count: number): Int32Array {
    return this.#spoiling().ints(address, count);
  }

  doubles(address: number, count: number): Float64Array {
    return this.#spoiling().doubles(address, count);
  }

  bytes(address: number, count: number): Uint8Array {
    return this.#spoiling().bytes(address, count);
  }

  #spoiling(): Views {
    this.arena?.spoil();
    return this.replayable;
  }

  /** Grows by an eighth at least, so that many small growths do not become many copies of views. */
  #grow(bytes: number): boolean {
    const have = this.wasm.buffer.byteLength / pageBytes;
    const need = Math.ceil(bytes / pageBytes);
    if (need <= have) return true;
    for (const pages of [Math.min(mostPages, Math.max(need, Math.ceil(have * 1.125))), need]) {
      try {
        this.wasm.grow(pages - have);
        return true;
      } catch {
        // Over the memory's limit or the system's: the smaller growth may still fit.
      }
    }
    return false;
  }
}

/** Scratch that lives until the end of a call, also when the call throws. */
export class Frame {
  readonly #blocks: Block[] = [];

  constructor(private readonly memory: Memory) {}

  block(bytes: number): Block {
    const block = this.memory.allocate(bytes);
    this.#blocks.push(block);
    return block;
  }

  /** Address of `bytes` of scratch. */
  take(bytes: number): number {
    return this.block(bytes).address;
  }

  /** Address of a copy of `values`. */
  ints(values: Int32Array): number {
    const address = this.take(values.byteLength);
    this.memory.ints(address, values.length).set(values);
    return address;
  }

  /** Lets a block, the call's result, outlive the frame. */
  keep(block: Block): Block {
    this.#blocks.splice(this.#blocks.indexOf(block), 1);
    return block;
  }

  [Symbol.dispose](): void {
    for (const block of this.#blocks) block.free();
  }
}

/** Address of an operand's first element, in bytes; all elements of tensors take 4. */
export const addressOf = ({ storage, offset }: Operand): number => (storage as Block).address + 4 * offset;
