import { UseAfterFreeError } from './errors.js';
import type { Ledger, Owned } from './ledger.js';

/** What an engine gives out: a tensor, a weight, a cache, running sums. Counted by its ledger, freed once, of use to no other engine. */
export abstract class Handle implements Owned, Disposable {
  #freed = false;

  constructor(readonly owner: Ledger) {
    owner.add(this);
  }

  /** Which it is, for messages: 'tensor [2,3]'. */
  abstract get title(): string;

  get freed(): boolean {
    return this.#freed;
  }

  protected checkAlive(): void {
    if (this.#freed) throw new UseAfterFreeError(this.title);
  }

  /** Gives back what it holds. */
  protected abstract release(): void;

  /** Frees it. Harmless when repeated. */
  dispose(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.owner.remove(this);
    this.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
