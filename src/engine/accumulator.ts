import { showShape } from './errors.js';
import { Handle } from './handle.js';
import type { Ledger } from './ledger.js';
import type { Storage } from './tensor.js';

/** Running sums on a backend, in float64 where it has it: memory does not grow with what is summed. */
export class Accumulator extends Handle {
  constructor(
    readonly length: number,
    private readonly inner: Storage,
    owner: Ledger,
  ) {
    super(owner);
    owner.scope?.remove(this);
    owner.bytes += inner.bytes;
  }

  get title(): string {
    return `accumulator ${showShape([this.length])}`;
  }

  get storage(): Storage {
    this.checkAlive();
    return this.inner;
  }

  protected release(): void {
    this.owner.bytes -= this.inner.bytes;
    this.inner.free();
  }
}
