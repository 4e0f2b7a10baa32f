import type { WasmMemory } from '../compiler/webAssembly.js';

interface Arrays {
  readonly buffer: SharedArrayBuffer;
  readonly floats: Float32Array;
  readonly ints: Int32Array;
  readonly bytes: Uint8Array;
}

/** Views into a memory, from an address (in bytes) on. A growth ends those made before: none is kept over an allocation. */
export class Views {
  #arrays: Arrays;

  constructor(private readonly memory: WasmMemory) {
    this.#arrays = this.#look();
  }

  floats(address: number, count: number): Float32Array {
    return this.#current().floats.subarray(address / 4, address / 4 + count);
  }

  ints(address: number, count: number): Int32Array {
    return this.#current().ints.subarray(address / 4, address / 4 + count);
  }

  doubles(address: number, count: number): Float64Array {
    return new Float64Array(this.memory.buffer, address, count);
  }

  bytes(address: number, count: number): Uint8Array {
    return this.#current().bytes.subarray(address, address + count);
  }

  /** Views of the whole memory. Growing gives it a new buffer, and views of the old one do not reach the new part. */
  #current(): Arrays {
    if (this.#arrays.buffer !== this.memory.buffer) this.#arrays = this.#look();
    return this.#arrays;
  }

  #look(): Arrays {
    const { buffer } = this.memory;
    return { buffer, floats: new Float32Array(buffer), ints: new Int32Array(buffer), bytes: new Uint8Array(buffer) };
  }
}
