import { Allocator } from './allocator.js';

/**
 * Memory that a recorded pass has for itself: what it frees, only it takes again, so that the addresses that it was
 * recorded with stay its own. What outlives the pass is given back when it is freed.
 */
export class Arena {
  readonly #taken = new Map<number, number>();
  readonly #free = new Map<number, number[]>();
  readonly #alive = new Set<number>();
  #spoiled = false;

  constructor(private readonly parent: Allocator) {}

  /** Whether JavaScript took part in the pass, so that a replay without it would give something else. */
  get spoiled(): boolean {
    return this.#spoiled;
  }

  spoil(): void {
    this.#spoiled = true;
  }

  allocate(bytes: number): number {
    const size = Allocator.rounded(bytes);
    const address = this.#free.get(size)?.pop() ?? this.reserve(size);
    this.#alive.add(address);
    return address;
  }

  /**
   * Memory that nothing else in the pass uses, so that what is written there before a replay is still there when it is
   * read.
   */
  reserve(bytes: number): number {
    const size = Allocator.rounded(bytes);
    const address = this.parent.allocate(size);
    this.#taken.set(address, size);
    return address;
  }

  free(address: number, bytes: number): void {
    const size = Allocator.rounded(bytes);
    this.#alive.delete(address);
    if (!this.#taken.has(address)) return this.parent.free(address, size);
    const list = this.#free.get(size);
    if (list) list.push(address);
    else this.#free.set(size, [address]);
  }

  /** Gives everything back that is not in use. */
  dispose(): void {
    for (const [address, bytes] of this.#taken) if (!this.#alive.has(address)) this.parent.free(address, bytes);
    this.#taken.clear();
  }
}
