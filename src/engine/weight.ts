import { showShape, type Shape } from './errors.js';
import { Handle } from './handle.js';
import type { Ledger } from './ledger.js';
import type { Storage } from './tensor.js';

/** Element types of a weight in a file. */
export type WeightDType = 'float32' | 'float16' | 'bfloat16';

export const bytesPerElement: Readonly<Record<WeightDType, number>> = { float32: 4, float16: 2, bfloat16: 2 };

/**
 * Where a weight comes from: a tensor in a checkpoint, an array, a quantizer around another source. Rows are the
 * product of all sizes but the last ([out, in] has `out` rows, [experts, out, in] has `experts * out`).
 */
export interface WeightSource {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: WeightDType;
  /** Rows [start, end) in little-endian `dtype`, row-major; the bytes are the caller's until the next call. */
  readRows(start: number, end: number): Promise<Uint8Array>;
  /**
   * As `readRows`, into a buffer of exactly that length, which may be shared memory; several reads may be under way. A
   * view of another source must not take over that source's `readInto`. Where `readRows` of a file refuses what is not
   * finite, this does not: whoever lays the rows out looks at each of them anyway.
   */
  readInto?(start: number, end: number, into: Uint8Array): Promise<void>;
}

/** How a weight is used, which decides its layout. */
export type WeightUse = 'linear' | 'embedding' | 'both' | 'experts';

/** A weight as one backend laid it out; only that backend can look inside. */
export class Weight extends Handle {
  constructor(
    readonly name: string,
    /** [out, in], or [experts, out, in]. */
    readonly shape: Shape,
    readonly use: WeightUse,
    readonly inner: Storage,
    owner: Ledger,
  ) {
    super(owner);
    owner.weightChanges++;
    owner.scope?.remove(this);
    owner.bytes += inner.bytes;
  }

  get title(): string {
    return `weight ${this.name} ${showShape(this.shape)}`;
  }

  get storage(): Storage {
    this.checkAlive();
    return this.inner;
  }

  /** Bytes it takes in the backend's memory. */
  get bytes(): number {
    return this.inner.bytes;
  }

  protected release(): void {
    this.owner.weightChanges++;
    this.owner.bytes -= this.inner.bytes;
    this.inner.free();
  }
}
