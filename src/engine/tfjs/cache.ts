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
  readonly keys: Variable;
  readonly values: Variable;
  /** Tokens that were written. */
  length: number;
}

/** A slot is two variables of TensorFlow, which grow now and then; an append writes the new tokens where they belong. */
export class GrowingCacheLayer extends CacheLayer {
  readonly #slots: Slot[] = [];

  constructor(
    live: Live,
    private readonly flow: TensorFlow,
    private readonly spec: CacheSpec,
  ) {
    super(live, spec);
  }

  append(tf: Tf, slot: number, start: number, fresh: KeysAndValues): KeysAndValues {
    const end = start + fresh.keys.shape[1]!;
    const held = this.#roomFor(slot, end);
    // What was there before a slot was shortened need not be finite, and times a share of 0 would count then.
    const behind = Math.max(0, held.length - end);
    held.length = end;
    const write = (into: Variable, added: Tensor): Tensor => {
      const clearing: [number, number][] = [
        [0, 0],
        [0, behind],
        [0, 0],
      ];
      into.write([0, start, 0], behind > 0 ? tf.pad(added, clearing) : added);
      return into.read();
    };
    return { keys: write(held.keys, fresh.keys), values: write(held.values, fresh.values) };
  }

  protected tensors(): readonly Variable[] {
    return this.#slots.flatMap(({ keys, values }) => [keys, values]);
  }

  /** A slot with room for so many tokens. */
  #roomFor(slot: number, tokens: number): Slot {
    const held = this.#slots[slot] as Slot | undefined;
    if (held && held.keys.shape[1] >= tokens) return held;
    const { capacity, keyValueHeads, headDim } = this.spec;
    const room = Math.min(capacity, growth * Math.ceil(tokens / growth));
    const larger = (old: Variable | undefined): Variable => {
      const variable = new Variable(this.flow, [keyValueHeads, room, headDim]);
      if (old) variable.write([0, 0, 0], old.read());
      old?.dispose();
      return variable;
    };
    const [keys, values] = [larger(held?.keys), larger(held?.values)];
    return (this.#slots[slot] = { keys, values, length: held?.length ?? 0 });
  }
}
