/**
 * The numbers of Python's `random.Random(seed)` for a seed below 2^32: the Mersenne Twister MT19937 (Matsumoto and
 * Nishimura, 1998), and what Python makes of it. lm-eval draws its examples with it.
 */
export class PythonRandom {
  readonly #state = new Uint32Array(size);
  #next = size;

  constructor(seed: number) {
    this.#initialize(seed);
  }

  /** A number from 0 to 1 of 53 bits, below 1. */
  random(): number {
    return ((this.#word() >>> 5) * 2 ** 26 + (this.#word() >>> 6)) / 2 ** 53;
  }

  /** As `Random.sample`: so many of the items, each at most once. */
  sample<T>(items: readonly T[], count: number): T[] {
    if (count > items.length) throw new RangeError(`${count} of ${items.length} items cannot be drawn`);
    // Python draws from a copy of few items, and notes what it has drawn of many.
    const few = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(3 * count) / Math.log(4)) : 0);
    if (items.length <= few) {
      const left = [...items];
      return Array.from({ length: count }, (_, i) => {
        const place = this.#below(items.length - i);
        const drawn = left[place];
        left[place] = left[items.length - i - 1];
        return drawn;
      });
    }
    const drawn = new Set<number>();
    while (drawn.size < count) drawn.add(this.#below(items.length));
    return [...drawn].map((place) => items[place]);
  }

  /** A whole number from 0 to below `end`, as Python's `choices` draws its places. */
  place(end: number): number {
    return Math.floor(this.random() * end);
  }

  /** A whole number below `end`, from as few bits as hold it. */
  #below(end: number): number {
    const bits = 32 - Math.clz32(end);
    for (;;) {
      const drawn = this.#word() >>> (32 - bits);
      if (drawn < end) return drawn;
    }
  }

  #word(): number {
    if (this.#next === size) this.#twist();
    let y = this.#state[this.#next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < size; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % size] & 0x7fffffff);
      state[i] = state[(i + 397) % size] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }

  /** `init_by_array` of the reference code, with a key of one word. */
  #initialize(seed: number): void {
    const state = this.#state;
    const before = (i: number): number => state[i - 1] ^ (state[i - 1] >>> 30);
    state[0] = 19650218;
    for (let i = 1; i < size; i++) state[i] = Math.imul(1812433253, before(i)) + i;
    let i = 1;
    const next = (): void => {
      if (++i < size) return;
      state[0] = state[size - 1];
      i = 1;
    };
    for (let k = 0; k < size; k++, next()) state[i] = (state[i] ^ Math.imul(before(i), 1664525)) + seed;
    for (let k = 1; k < size; k++, next()) state[i] = (state[i] ^ Math.imul(before(i), 1566083941)) - i;
    state[0] = 0x80000000;
  }
}

/** Words of the state. */
const size = 624;
