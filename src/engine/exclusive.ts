import { host } from './hosts/index.js';
import { Turns } from './turns.js';

/** Those whose turn the running code has. */
const held = host.createContext<readonly Exclusive[]>();

/** Lets one work at a time, in the order in which they came; within a work's own turn, another runs at once. */
export class Exclusive {
  readonly #turns = new Turns();

  async run<T>(work: () => Promise<T>): Promise<T> {
    const within = held.get() ?? [];
    if (within.includes(this)) return work();
    await this.#turns.take();
    try {
      return await held.run([...within, this], work);
    } finally {
      this.#turns.give();
    }
  }
}
