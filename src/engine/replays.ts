import type { Replay } from './backend.js';
import { rowsOf, type Batch } from './batch.js';
import type { KvCache } from './kvCache.js';
import type { Ledger, Owned } from './ledger.js';

interface Recorded {
  /** Undefined if the pass cannot be replayed. */
  readonly replay?: Replay;
  readonly uses: readonly unknown[];
  /** The ledger's count of changes to weights when the pass was recorded. */
  readonly weightChanges: number;
}

/** The most recordings kept. */
const mostKept = 16;

/** What a recorded pass depends on. */
export interface Repeated {
  /** The same for passes that compute the same, such as the drops. */
  readonly key: string;
  /** Objects that a pass reads besides weights and cache; with other objects it is another pass. */
  readonly uses: readonly unknown[];
  readonly cache: KvCache;
  /** Padded to the rows of the recording. */
  readonly batch: Batch;
}

/**
 * Recorded passes of one model, each of which appends a token to every sequence of a batch. Keeps the ones used last.
 */
export class Replays implements Owned {
  readonly title = 'a store of recorded passes';
  freed = false;
  /** In order of use, the latest at the end. */
  readonly #byKey = new Map<string, Recorded>();

  constructor(readonly owner: Ledger) {}

  /** The recording of a pass; undefined if there is none, or weights or `uses` have changed since. */
  find(pass: Repeated): Recorded | undefined {
    const key = keyOf(pass);
    const found = this.#byKey.get(key);
    if (!found) return undefined;
    this.#byKey.delete(key);
    const same =
      found.weightChanges === this.owner.weightChanges &&
      !found.replay?.stale &&
      pass.uses.every((use, i) => use === found.uses[i]);
    if (same) this.#byKey.set(key, found);
    else found.replay?.free();
    return same ? found : undefined;
  }

  keep(pass: Repeated, replay: Replay | undefined): void {
    const [oldest] = this.#byKey;
    if (this.#byKey.size === mostKept) {
      oldest[1].replay?.free();
      this.#byKey.delete(oldest[0]);
    }
    this.#byKey.set(keyOf(pass), { replay, uses: pass.uses, weightChanges: this.owner.weightChanges });
  }

  dispose(): void {
    this.freed = true;
    for (const { replay } of this.#byKey.values()) replay?.free();
    this.#byKey.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const keyOf = ({ key, cache, batch }: Repeated): string =>
  [rowsOf(batch), cache.capacityClass, cache.spec.dtype, key].join();
