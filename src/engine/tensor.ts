import { ShapeError, showShape, type Shape } from './errors.js';
import { Handle } from './handle.js';
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
export class Tensor extends Handle {
  readonly #shared: SharedStorage;

  constructor(
    shared: SharedStorage,
    owner: Ledger,
    /** Sizes, outermost first. */
    readonly shape: Shape,
    readonly dtype: DType,
    /** Where the first element lies in the storage, in elements. */
    readonly offset = 0,
  ) {
    super(owner);
    this.#shared = shared;
    shared.retain();
  }

  get title(): string {
    return `tensor ${showShape(this.shape)}`;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** The backend's memory; throws after `dispose`. */
  get storage(): Storage {
    this.checkAlive();
    return this.#shared.storage;
  }

  /** The same elements under another shape. One size may be -1: it is what is left. */
  reshape(shape: Shape): Tensor {
    this.checkAlive();
    const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
    const full = shape.map((size) => (size === -1 ? this.size / known : size));
    if (sizeOf(full) !== this.size || full.some((size) => !Number.isInteger(size) || size < 0))
      throw new ShapeError('reshape', { from: this.shape, to: shape }, `the first has ${this.size} elements`);
    return new Tensor(this.#shared, this.owner, full, this.dtype, this.offset);
  }

  /** Rows [start, end) along the first axis. */
  rows(start: number, end: number): Tensor {
    this.checkAlive();
    const [count = 0, ...inner] = this.shape;
    if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= count))
      throw new ShapeError('rows', { tensor: this.shape }, `rows ${start} to ${end} are not within 0 to ${count}`, 0);
    const offset = this.offset + start * sizeOf(inner);
    return new Tensor(this.#shared, this.owner, [end - start, ...inner], this.dtype, offset);
  }

  /** A view that no scope frees: for what must outlive the pass that made it. */
  detach(): Tensor {
    this.checkAlive();
    const view = new Tensor(this.#shared, this.owner, this.shape, this.dtype, this.offset);
    this.owner.scope?.remove(view);
    return view;
  }

  /** This view is gone; the memory goes with the last view of it. */
  protected release(): void {
    this.#shared.release();
  }
}
