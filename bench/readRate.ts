import { Machine } from '../src/engine/wasm/runtime/machine.js';
import { perUnit } from '../src/engine/wasm/runtime/task.js';
import { limits } from './limits.js';

export const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

export const secondsOf = async (work: () => unknown): Promise<number> => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1e3;
};

const block = 2 ** 20;

/** How fast threads read memory in WebAssembly: more of it than caches of processors hold. */
export class ReadRate implements Disposable {
  readonly #machine: Machine;
  readonly #pass: () => void;

  constructor(
    threads: number,
    private readonly blocks = 1024,
  ) {
    this.#machine = new Machine(undefined, false, threads);
    const { memory } = this.#machine;
    const large = memory.allocate(blocks * block).address;
    memory.bytes(large, blocks * block).fill(1);
    const into = { base: memory.allocate(256 * threads).address, thread: 256 };
    const { read } = this.#machine.calls(limits);
    const calls = [read({ from: perUnit(large, block), bytes: { base: 0, count: block }, into })];
    this.#pass = () => this.#machine.run([{ units: blocks, chunk: 16, work: blocks * block, calls }]);
  }

  /** Bytes a second, the median of some passes. */
  async measure(passes: number): Promise<number> {
    const times: number[] = [];
    for (let i = 0; i < passes; i++) times.push(await secondsOf(this.#pass));
    return (this.blocks * block) / median(times);
  }

  [Symbol.dispose](): void {
    this.#machine.dispose();
  }
}
