import type { Replay } from './backend.js';
import type { Batch } from './batch.js';
import type { KvCache } from './kvCache.js';
import type { Ledger } from './ledger.js';

interface Recorded {
  /** Undefined where the pass cannot be run again. */
  readonly replay?: Replay;
  readonly uses: readonly unknown[];
  /** Of the weights that were loaded then. */
  readonly weightChanges: number;
}

/** Programs kept at a time, of all that were recorded. */
const mostKept = 8;

/** What a recorded pass depends on. */
export interface Repeated {
  /** Tells passes apart that compute other things. */
  readonly key: string;
  /** What a pass reads besides weights and cache; another object is another pass. */
  readonly uses: readonly unknown[];
  readonly cache: KvCache;
  readonly batch: Batch;
}

/** Recorded passes of one model, which continue the sequences of its caches by a token each; the last few that were used. */
export class Replays {
  /** The one used last at the end. */
  readonly #byKey = new Map<string, Recorded>();

  constructor(private readonly ledger: Ledger) {}

  /** Undefined where none was recorded yet, or with other weights or `uses`. */
  find(pass: Repeated): Recorded | undefined {
    const key = keyOf(pass);
    const found = this.#byKey.get(key);
    if (!found) return undefined;
    this.#byKey.delete(key);
    const same =
      found.weightChanges === this.ledger.weightChanges &&
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
    this.#byKey.set(keyOf(pass), { replay, uses: pass.uses, weightChanges: this.ledger.weightChanges });
  }

  dispose(): void {
    for (const { replay } of this.#byKey.values()) replay?.free();
    this.#byKey.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const keyOf = ({ key, cache, batch }: Repeated): string =>
  [batch.sequences.length, cache.capacityClass, cache.spec.dtype, key].join();
