import { UseAfterFreeError, WrongEngineError } from './errors.js';

/** Whatever a scope can free. */
export interface Freeable {
  dispose(): void;
}

/** What is of one engine alone. */
export interface Owned {
  readonly owner: Ledger;
  readonly freed: boolean;
  /** Which it is, for messages: 'tensor [2,3]'. */
  readonly title: string;
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

  /** Hands an item of the same engine to the enclosing scope (or to the caller, where there is none). Returns it. */
  keep<T extends Freeable & Owned>(item: T): T {
    this.ledger.checkOwn('keep', item);
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

/** Live memory: what was made and not yet freed. */
export interface Memory {
  readonly tensors: number;
  readonly bytes: number;
}

/** Live memory of one engine: counted exactly, so that tests can ask for zero. */
export class Ledger {
  #bytes = 0;
  /** Whether the engine is disposed. */
  closed = false;
  /** The most that `bytes` has been since it was last set. */
  peakBytes = 0;
  /** Counts weights that are made or freed. */
  weightChanges = 0;
  /** The innermost open scope. */
  scope: Scope | undefined;
  readonly #live = new Set<Freeable>();

  constructor(
    /** The engine's. */
    readonly name: string,
  ) {}

  /** Throws after `close`. */
  checkOpen(): void {
    if (this.closed) throw new UseAfterFreeError(this.name);
  }

  /** Refuses what another engine made, and what is freed, in operation `op`. */
  checkOwn(op: string, item: Owned): void {
    if (item.owner !== this) throw new WrongEngineError(op, item.title, item.owner.name, this.name);
    if (item.freed) throw new UseAfterFreeError(item.title);
  }

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

  /** Frees all. Nothing more is made. */
  close(): void {
    this.closed = true;
    for (const item of [...this.#live]) item.dispose();
  }
}
