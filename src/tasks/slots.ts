import { createBatch, type KvCache, type Tensor } from '../engine/index.js';
import { sharedLength, type Model } from '../models/index.js';

/** Tokens of one pass: more make no layer faster. */
const passTokens = 1024;
/** Texts that are under way at once, where memory allows it. */
const mostSlots = 64;
/** Bytes of keys and values at most, but for one slot. */
const cacheBytes = 512 * 2 ** 20;

/** A text in a slot: what of it is to run, behind what the slot holds. */
export interface SlotRun<T> {
  readonly slot: number;
  readonly tokens: readonly number[];
  /** Whose run it is. */
  readonly of: T;
}

/** Called with a pass's last hidden states [T, D] and its runs, the first row of each beside it. */
export type OnPass<T> = (hidden: Tensor, runs: readonly (SlotRun<T> & { readonly row: number })[]) => Promise<void>;

/**
 * Slots of a key-value cache that know their tokens, so that of a text that begins as the one before it in the same slot
 * only the rest is computed. To be disposed.
 */
export class Slots implements Disposable {
  readonly count: number;
  readonly #cache: KvCache;
  readonly #held: (readonly number[])[];
  /** Whether keys stay as they are when the text grows: not where rotary angles change with its length. */
  readonly #reuses: boolean;

  /** For texts of at most `capacity` tokens. */
  constructor(
    private readonly model: Model,
    capacity: number,
    texts: number,
  ) {
    const fit = Math.floor(cacheBytes / (capacity * Math.max(1, model.kvBytesPerToken())));
    this.count = Math.max(1, Math.min(fit, mostSlots, texts));
    this.#cache = model.createCache({ slots: this.count, capacity });
    this.#reuses = model.keepsAngles(1, capacity);
    this.#held = Array.from({ length: this.count }, () => []);
  }

  /** Forgets what a slot holds beyond the beginning of `tokens`, and beyond so many; gives how many it keeps. */
  keep(slot: number, tokens: readonly number[], most: number): number {
    const held = this.#held[slot];
    const length = this.#reuses ? Math.min(sharedLength(held, tokens), most) : 0;
    this.#cache.truncate(slot, length);
    this.#held[slot] = held.slice(0, length);
    return length;
  }

  /** Runs texts in passes of a bounded number of tokens, all lengths together; each continues what its slot holds. */
  async run<T>(runs: readonly SlotRun<T>[], onPass: OnPass<T>, signal?: AbortSignal): Promise<void> {
    for (const pass of inPasses(runs.filter(({ tokens }) => tokens.length > 0))) {
      signal?.throwIfAborted();
      const batch = createBatch(
        pass.map(({ tokens }) => tokens),
        pass.map(({ slot }) => this.#held[slot].length),
        pass.map(({ slot }) => slot),
      );
      await this.model.engine.exclusive(async () => {
        const hidden = await this.model.forwardYielding(batch, { cache: this.#cache, signal });
        await onPass(hidden, withRows(pass));
      });
      for (const { slot, tokens } of pass) this.#held[slot] = [...this.#held[slot], ...tokens];
    }
  }

  [Symbol.dispose](): void {
    this.#cache.dispose();
  }
}

function* inPasses<T>(runs: readonly SlotRun<T>[]): Generator<readonly SlotRun<T>[]> {
  let pass: SlotRun<T>[] = [];
  let tokens = 0;
  for (const run of runs) {
    if (pass.length && tokens + run.tokens.length > passTokens) {
      yield pass;
      [pass, tokens] = [[], 0];
    }
    pass.push(run);
    tokens += run.tokens.length;
  }
  if (pass.length) yield pass;
}

function withRows<T>(runs: readonly SlotRun<T>[]): (SlotRun<T> & { readonly row: number })[] {
  let row = 0;
  return runs.map((run) => {
    const placed = { ...run, row };
    row += run.tokens.length;
    return placed;
  });
}
