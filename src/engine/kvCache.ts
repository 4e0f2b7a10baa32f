import type { Batch } from './batch.js';
import { CacheError, showShape } from './errors.js';
import { whole } from './given.js';
import { Handle } from './handle.js';
import type { Ledger } from './ledger.js';
import type { Storage } from './tensor.js';

export interface CacheSpec {
  /** Original indices of the layers that attend; no other layer takes memory. */
  readonly layers: readonly number[];
  /** Sequences held at the same time. */
  readonly slots: number;
  /** Tokens per slot. */
  readonly capacity: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** @defaultValue 'float32' */
  readonly dtype: 'float32' | 'float16';
}

/** Keys and values per original layer and slot. The cache itself keeps each slot's length. */
export class KvCache extends Handle {
  readonly lengths: Int32Array;

  constructor(
    readonly spec: CacheSpec,
    /** Per original layer index: the backend's memory for keys and values. */
    private readonly perLayer: ReadonlyMap<number, Storage>,
    owner: Ledger,
  ) {
    super(owner);
    this.lengths = new Int32Array(spec.slots);
    owner.scope?.remove(this);
    owner.bytes += this.bytes;
  }

  get title(): string {
    return `key-value cache ${showShape([this.spec.slots, this.spec.capacity])}`;
  }

  /** The power of two that the capacity rounds up to. A recorded pass serves all caches of a class. */
  get capacityClass(): number {
    return 2 ** Math.ceil(Math.log2(Math.max(1, this.spec.capacity)));
  }

  get bytes(): number {
    return [...this.perLayer.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  storage(layer: number): Storage {
    this.checkAlive();
    const found = this.perLayer.get(layer);
    if (!found)
      throw new CacheError(
        `the cache has no room for layer ${layer}: it was made for layers ${this.spec.layers.join(', ')}`,
      );
    return found;
  }

  /** Throws unless each sequence continues its slot and fits. */
  check(batch: Batch): void {
    this.checkAlive();
    const { slots, capacity } = this.spec;
    for (const { slot, start, length } of batch.sequences) {
      if (!(Number.isInteger(slot) && slot >= 0 && slot < slots))
        throw new CacheError(`slot ${slot} is not one of the cache's ${slots} (0 to ${slots - 1})`);
      if (start !== this.lengths[slot])
        throw new CacheError(`slot ${slot} holds ${this.lengths[slot]} tokens, but the batch continues it at ${start}`);
      if (start + length > capacity)
        throw new CacheError(
          `slot ${slot} would hold ${start + length} tokens, but the cache's capacity is ${capacity}`,
        );
    }
  }

  /** Counts a batch's tokens as held, once all layers have appended them. */
  advance(batch: Batch): void {
    for (const { slot, start, length } of batch.sequences) this.lengths[slot] = start + length;
  }

  /** Forgets a slot's tokens, or all but the first `length`. */
  truncate(slot: number, length = 0): void {
    whole(0, this.spec.slots - 1)(slot, '`slot`');
    whole(0)(length, '`length`');
    this.lengths[slot] = Math.min(this.lengths[slot], length);
  }

  protected release(): void {
    this.owner.bytes -= this.bytes;
    for (const storage of this.perLayer.values()) storage.free();
  }
}
