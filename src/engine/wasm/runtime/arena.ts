import { Allocator } from './allocator.js';

/**
 * Memory that a recorded pass has for itself: what it frees, only it takes again, so that the addresses that it was
 * recorded with stay its own.
 */
export class Arena {
  readonly #taken: { address: number; bytes: number }[] = [];
  readonly #free = new Map<number, number[]>();
  #spoiled = false;

  constructor(private readonly parent: Allocator) {}

  /** Whether the host took part in the pass: run again without it, it would give something else. */
  get spoiled(): boolean {
    return this.#spoiled;
  }

  spoil(): void {
    this.#spoiled = true;
  }

  allocate(bytes: number): number {
    const size = Allocator.rounded(bytes);
    return this.#free.get(size)?.pop() ?? this.reserve(size);
  }

  /** Memory that the pass has not used for anything else: what is written there before it begins is kept. */
  reserve(bytes: number): number {
    const size = Allocator.rounded(bytes);
    const address = this.parent.allocate(size);
    this.#taken.push({ address, bytes: size });
    return address;
  }

  free(address: number, bytes: number): void {
    const size = Allocator.rounded(bytes);
    const list = this.#free.get(size);
    if (list) list.push(address);
    else this.#free.set(size, [address]);
  }

  /** Gives everything back. */
  dispose(): void {
    for (const { address, bytes } of this.#taken.splice(0)) this.parent.free(address, bytes);
  }
}
