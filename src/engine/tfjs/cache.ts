/** Keys and values of one layer. Legend: K key-value heads, d head size. */
import type { CacheSpec } from '../kvCache.js';
import type { Tensor, Tf } from './load.js';
import { TfStorage, type Live } from './storage.js';
import type { TensorFlow } from './tensorflow.js';
import { Variable } from './variable.js';

/** Of one sequence: [K, tokens, d] each. What lies behind its last token is finite, and not to be seen. */
export interface KeysAndValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

export abstract class CacheLayer extends TfStorage {
  /** What all slots take when they are full. */
  readonly bytes: number;

  constructor(live: Live, { slots, capacity, keyValueHeads, headDim }: CacheSpec) {
    super(live);
    this.bytes = 2 * 4 * slots * capacity * keyValueHeads * headDim;
  }

  /** Keeps a slot's first `start` tokens, appends the new ones, and gives all of them; the cache may still own these. */
  abstract append(tf: Tf, slot: number, start: number, fresh: KeysAndValues): KeysAndValues;
}

/**
 * A slot holds what was appended and no more: TensorFlow.js writes no tensor in place, so an append copies the slot, which
 * costs no more than the attention over it that follows.
 */
export class JoiningCacheLayer extends CacheLayer {
  readonly #slots: KeysAndValues[] = [];

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

/** A slot grows by so many tokens: few enough that attention wastes little on what is empty, many enough to copy rarely. */
const growth = 128;

interface Slot {
  /** [2, K, room, d]: keys, then values. */
  readonly held: Variable;
  /** Tokens that were written. */
  length: number;
}

/** A slot is a variable of TensorFlow, which grows now and then; an append writes the new tokens where they belong. */
export class GrowingCacheLayer extends CacheLayer {
  readonly #slots: Slot[] = [];

  constructor(
    live: Live,
    private readonly flow: TensorFlow,
    private readonly spec: CacheSpec,
  ) {
    super(live, spec);
  }

  append(tf: Tf, slot: number, start: number, { keys, values }: KeysAndValues): KeysAndValues {
    const end = start + keys.shape[1]!;
    const own = this.#roomFor(slot, end);
    // What was there before a slot was shortened need not be finite, and times a share of 0 would count then.
    const behind = Math.max(0, own.length - end);
    own.length = end;
    const fresh = tf.stack([keys, values]);
    own.held.write([0, 0, start, 0], behind > 0 ? tf.pad(fresh, [none, none, [0, behind], none]) : fresh);
    const [allKeys, allValues] = tf.unstack(own.held.read());
    return { keys: allKeys, values: allValues };
  }

  protected tensors(): readonly Variable[] {
    return this.#slots.flatMap(({ held }) => held); // leaves out slots that nothing was written to
  }

  /** A slot with room for so many tokens. */
  #roomFor(slot: number, tokens: number): Slot {
    const old = this.#slots[slot] as Slot | undefined;
    if (old && old.held.shape[2] >= tokens) return old;
    const { capacity, keyValueHeads, headDim } = this.spec;
    const room = Math.min(capacity, growth * Math.ceil(tokens / growth));
    const held = new Variable(this.flow, [2, keyValueHeads, room, headDim]);
    if (old) held.write([0, 0, 0, 0], old.held.read());
    old?.held.dispose();
    return (this.#slots[slot] = { held, length: old?.length ?? 0 });
  }
}

const none: [number, number] = [0, 0];
