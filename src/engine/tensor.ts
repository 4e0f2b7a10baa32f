import { UseAfterFreeError, ShapeError, type Shape } from './errors.js';
import type { Ledger } from './ledger.js';

/** What a tensor on a backend can hold. Weights have more types (see `weight.ts`). */
export type DType = 'float32' | 'int32';

/** A backend's own memory for one tensor, weight, cache or accumulator. */
export interface Storage {
  readonly bytes: number;
  free(): void;
}

/** A storage counted by the views that share it. */
export class SharedStorage {
  #views = 0;

  constructor(
    readonly storage: Storage,
    private readonly ledger: Ledger,
  ) {
    ledger.bytes += storage.bytes;
  }

  retain(): void {
    this.#views++;
  }

  release(): void {
    if (--this.#views > 0) return;
    this.ledger.bytes -= this.storage.bytes;
    this.storage.free();
  }
}

export const sizeOf = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

/**
 * A contiguous row-major array in a backend's memory. `reshape` and `rows` are views: they copy nothing and keep the
 * memory alive on their own. Freed by `dispose`, by `using`, or by the scope it was made in.
 */
export class Tensor {
  readonly #shared: SharedStorage;
  readonly #ledger: Ledger;
  #freed = false;

  constructor(
    shared: SharedStorage,
    ledger: Ledger,
    /** Sizes, outermost first. */
    readonly shape: Shape,
    readonly dtype: DType,
    /** Where the first element lies in the storage, in elements. */
    readonly offset = 0,
  ) {
    this.#shared = shared;
    this.#ledger = ledger;
    shared.retain();
    ledger.add(this);
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  get freed(): boolean {
    return this.#freed;
  }

  /** The backend's memory; throws after `dispose`. */
  get storage(): Storage {
    if (this.#freed) throw new UseAfterFreeError('a tensor', this.shape);
    return this.#shared.storage;
  }

  /** The same elements under another shape. One size may be -1: it is what is left. */
  reshape(shape: Shape): Tensor {
    void this.storage;
    const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
    const full = shape.map((size) => (size === -1 ? this.size / known : size));
    if (sizeOf(full) !== this.size || full.some((size) => !Number.isInteger(size) || size < 0))
      throw new ShapeError('reshape', { from: this.shape, to: shape }, `the first has ${this.size} elements`);
    return new Tensor(this.#shared, this.#ledger, full, this.dtype, this.offset);
  }

  /** Rows [start, end) along the first axis. */
  rows(start: number, end: number): Tensor {
    void this.storage;
    const [count = 0, ...inner] = this.shape;
    if (!(start >= 0 && start <= end && end <= count))
      throw new ShapeError('rows', { tensor: this.shape }, `rows ${start} to ${end} are not within 0 to ${count}`, 0);
    const offset = this.offset + start * sizeOf(inner);
    return new Tensor(this.#shared, this.#ledger, [end - start, ...inner], this.dtype, offset);
  }

  /** A view that no scope frees: for what must outlive the pass that made it. */
  detach(): Tensor {
    void this.storage;
    const view = new Tensor(this.#shared, this.#ledger, this.shape, this.dtype, this.offset);
    this.#ledger.scope?.remove(view);
    return view;
  }

  /** Frees this view; the memory goes with the last view of it. Harmless when repeated. */
  dispose(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.#ledger.remove(this);
    this.#shared.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
