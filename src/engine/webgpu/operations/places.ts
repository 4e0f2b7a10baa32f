/** Where a batch's tokens are: what kernels of attention are told, once for all layers of a pass. */
import { lastRows, type Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import type { Listener, Machine } from '../runtime/machine.js';
import type { Block } from '../runtime/memory.js';

/**
 * Four numbers a token: its position, the row of the keys that is its own, and the row where those of its sequence
 * begin; the last is 0. Without a cache, keys lie as the batch's tokens do.
 */
export function placesOf({ positions, sequences }: Batch, cache?: KvCache): Int32Array {
  const places = new Int32Array(4 * positions.length);
  let token = 0;
  for (const { slot, start, length } of sequences) {
    const begin = cache ? slot * cache.spec.capacity : token;
    const held = cache ? start : 0;
    for (let i = 0; i < length; i++, token++) places.set([positions[token], begin + held + i, begin], 4 * token);
  }
  return places;
}

/** The same of each sequence's last token alone. */
function lastPlacesOf(batch: Batch, cache?: KvCache): Int32Array {
  const places = placesOf(batch, cache);
  return Int32Array.from(Array.from(lastRows(batch)).flatMap((row) => [...places.subarray(4 * row, 4 * row + 4)]));
}

interface Held {
  readonly batch: Batch;
  readonly capacity: number | undefined;
  readonly listener: Listener | undefined;
  readonly tokens: Block;
  /** Of those that ask, where these are not all. */
  queries?: Block;
}

/** Those of the last batch. */
export class Places {
  #held: Held | undefined;

  /** Of all tokens, and of the queries: `rows` of them. */
  of(machine: Machine, batch: Batch, cache: KvCache | undefined, rows: number): { tokens: Block; queries: Block } {
    const capacity = cache?.spec.capacity;
    const { listener } = machine;
    let held = this.#held;
    if (held?.batch !== batch || held.capacity !== capacity || held.listener !== listener) {
      this.free();
      this.#held = held = { batch, capacity, listener, tokens: machine.given(placesOf, batch, cache) };
    }
    if (rows === batch.tokens.length) return { tokens: held.tokens, queries: held.tokens };
    held.queries ??= machine.given(lastPlacesOf, batch, cache);
    return { tokens: held.tokens, queries: held.queries };
  }

  free(): void {
    // What a recording was given, it keeps.
    if (this.#held && !this.#held.listener) {
      this.#held.tokens.free();
      this.#held.queries?.free();
    }
    this.#held = undefined;
  }
}
