import type { KvCache } from '../engine/index.js';
import type { Model } from './model.js';
import { sharedLength } from './tokens.js';

/**
 * Keys and values that outlive a generation, and the tokens that they belong to: a longer text that begins alike, such
 * as a chat one turn later, is computed from where it differs. For one generation at a time, and with the skip flags that
 * the model had at first. To be disposed.
 */
export class TokenCache implements Disposable {
  #cache: KvCache | undefined;
  #tokens: readonly number[] = [];

  constructor(private readonly model: Model) {}

  /** A cache for `capacity` tokens that holds as many of these as it did, but not the last: its logits are asked for. */
  begin(tokens: readonly number[], capacity: number): KvCache {
    if (!this.#cache || this.#cache.spec.capacity < capacity) {
      this.dispose();
      // In powers of two, so that a growing text is seldom computed anew.
      this.#cache = this.model.createCache({ capacity: 2 ** Math.ceil(Math.log2(capacity)) });
    }
    const shared = Math.min(sharedLength(tokens, this.#tokens), tokens.length - 1);
    // Keys that were turned for a longer text are of no use to a shorter one.
    this.#cache.truncate(0, this.model.keepsAngles(this.#tokens.length, tokens.length) ? shared : 0);
    return this.#cache;
  }

  /** Remembers what the cache holds now: as many as it has of the tokens that ran. */
  end(tokens: readonly number[]): void {
    this.#tokens = tokens.slice(0, this.#cache?.lengths[0] ?? 0);
  }

  dispose(): void {
    this.#cache?.dispose();
    this.#cache = undefined;
    this.#tokens = [];
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
