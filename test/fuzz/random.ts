import { hash, uniform } from '../../src/models/random.js';

/** Seeded choices: the same seed and number make the same mutant on every machine. */
export class Random {
  readonly #next: () => number;

  constructor(seed: number, mutant: number) {
    this.#next = uniform(hash(`${seed}/${mutant}`));
  }

  /** In [0, 1). */
  uniform(): number {
    return this.#next();
  }

  /** A whole number in [0, below); 0 where there is none. */
  below(below: number): number {
    return Math.floor(this.#next() * below);
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)];
  }
}
