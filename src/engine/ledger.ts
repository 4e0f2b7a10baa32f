/** Whatever a scope can free. */
export interface Freeable {
  dispose(): void;
}

/** Everything made while a scope is open is freed when it closes, except what is kept. */
export class Scope {
  readonly #made = new Set<Freeable>();

  constructor(
    private readonly ledger: Ledger,
    private readonly outer: Scope | undefined,
  ) {}

  add(item: Freeable): void {
    this.#made.add(item);
  }

  remove(item: Freeable): boolean {
    return this.#made.delete(item) || (this.outer?.remove(item) ?? false);
  }

  /** Hands an item to the enclosing scope (or to the caller, where there is none). Returns it. */
  keep<T extends Freeable>(item: T): T {
    if (this.#made.delete(item)) this.outer?.add(item);
    return item;
  }

  dispose(): void {
    if (this.ledger.scope === this) this.ledger.scope = this.outer;
    for (const item of [...this.#made].reverse()) item.dispose();
    this.#made.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Live memory of one engine: counted exactly, so that tests can ask for zero. */
export class Ledger {
  #bytes = 0;
  /** The most that `bytes` has been since it was last set. */
  peakBytes = 0;
  /** Counts weights that are made or freed. */
  weightChanges = 0;
  /** The innermost open scope. */
  scope: Scope | undefined;
  readonly #live = new Set<Freeable>();

  /** Bytes in live storages. */
  get bytes(): number {
    return this.#bytes;
  }

  set bytes(bytes: number) {
    this.#bytes = bytes;
    this.peakBytes = Math.max(this.peakBytes, bytes);
  }

  get count(): number {
    return this.#live.size;
  }

  add(item: Freeable): void {
    this.#live.add(item);
    this.scope?.add(item);
  }

  remove(item: Freeable): void {
    this.#live.delete(item);
    this.scope?.remove(item);
  }

  open(): Scope {
    return (this.scope = new Scope(this, this.scope));
  }

  disposeAll(): void {
    for (const item of [...this.#live]) item.dispose();
  }
}
