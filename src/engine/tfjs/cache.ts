/** Keys and values of one layer. Legend: K key-value heads, d head size. */
import type { CacheSpec } from '../kvCache.js';
import type { Tensor, Tf } from './load.js';
import { TfStorage, type Live } from './storage.js';

/** Of one sequence, [K, tokens, d] each. */
export interface KeysAndValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/**
 * A slot holds what was appended and no more: tensors cannot be written in place, so an append copies the slot, which
 * costs no more than the attention over it that follows.
 */
export class CacheLayer extends TfStorage {
  /** What all slots take when they are full. */
  readonly bytes: number;
  readonly #slots: KeysAndValues[] = [];

  constructor(live: Live, { slots, capacity, keyValueHeads, headDim }: CacheSpec) {
    super(live);
    this.bytes = 2 * 4 * slots * capacity * keyValueHeads * headDim;
  }

  /** Keeps a slot's first `start` tokens, appends the new ones, and gives all of them; they stay the slot's. */
  append(tf: Tf, slot: number, start: number, fresh: KeysAndValues): KeysAndValues {
    const last = this.#slots[slot] as KeysAndValues | undefined;
    const held = start === 0 ? undefined : last;
    const joined = (old: Tensor | undefined, added: Tensor): Tensor => {
      const before = old && (old.shape[1] === start ? old : tf.slice(old, [0, 0, 0], [-1, start, -1]));
      return tf.keep(before ? tf.concat([before, added], 1) : tf.clone(added));
    };
    const next = { keys: joined(held?.keys, fresh.keys), values: joined(held?.values, fresh.values) };
    last?.keys.dispose();
    last?.values.dispose();
    this.#slots[slot] = next;
    return next;
  }

  protected tensors(): readonly Tensor[] {
    return this.#slots.flatMap(({ keys, values }) => [keys, values]);
  }
}
