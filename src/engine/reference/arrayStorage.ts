import { UseAfterFreeError } from '../errors.js';
import type { Storage } from '../tensor.js';

/** A plain typed array, dropped when freed. */
export class ArrayStorage<T extends Float32Array | Int32Array | Float64Array = Float32Array> implements Storage {
  readonly bytes: number;
  #values: T | undefined;

  constructor(values: T) {
    this.#values = values;
    this.bytes = values.byteLength;
  }

  get values(): T {
    if (!this.#values) throw new UseAfterFreeError(`an array of ${this.bytes} bytes`);
    return this.#values;
  }

  free(): void {
    this.#values = undefined;
  }
}
