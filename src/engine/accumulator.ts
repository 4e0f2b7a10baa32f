import { UseAfterFreeError } from './errors.js';
import type { Ledger } from './ledger.js';
import type { Storage } from './tensor.js';

/** Running sums on a backend, in float64 where it has it: memory does not grow with what is summed. */
export class Accumulator {
  #freed = false;

  constructor(
    readonly length: number,
    private readonly inner: Storage,
    private readonly ledger: Ledger,
  ) {
    ledger.add(this);
    ledger.scope?.remove(this);
    ledger.bytes += inner.bytes;
  }

  get storage(): Storage {
    if (this.#freed) throw new UseAfterFreeError('an accumulator', [this.length]);
    return this.inner;
  }

  dispose(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.ledger.remove(this);
    this.ledger.bytes -= this.inner.bytes;
    this.inner.free();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
