/**
 * What the engine needs of where it runs. `hosts/` has an implementation for each such place, of which the `browser` field
 * of package.json chooses; all else in `engine` and
 * `models` names none of them, and uses what every JavaScript has: typed arrays, `Atomics`, `WebAssembly`, `performance`.
 */
export interface Host {
  /** Threads that can compute at the same time, 1 or more. */
  cores(): number;
  /** Bytes that the machine, or the container, has; at most half of the addresses that a limit leaves. */
  memoryBytes(): number;
  /** Addresses that the process may take, and has taken, where they are limited (`ulimit -v`): what is reserved counts too. */
  addressSpace(): AddressSpace | undefined;
  readonly processor: Processor;
  /** Where V8 compiles kernels; undefined where another engine does. */
  readonly v8?: V8;
  /** What whoever started the program set under a name such as `LLM_DROP_WASM_TIER`. */
  setting(name: string): string | undefined;
  /** A line for whoever runs the program. */
  warn(line: string): void;
  /** Resolves once timers, signals and whoever prints have had their turn. */
  nextTurn(): Promise<void>;
  createContext<T>(): Context<T>;
  /**
   * Runs what may compute for ever. Where the host can, it stops it after so many milliseconds ('late') or by Ctrl-C
   * ('interrupted'). `run` throws nothing.
   */
  runWithin(milliseconds: number, run: () => void): 'ended' | 'late' | 'interrupted';
  /**
   * Starts a thread that runs `code`, the text of a function of a `WorkerSide`, on `data`, which is copied but for the
   * memory that is shared. It does not keep the program running. `failed` hears of an error that ends it.
   */
  spawn(code: string, data: object, failed: (error: unknown) => void): Worker;
  /** Whether an optional package can be imported. */
  isInstalled(name: string): boolean;
  /** Of an installed package; undefined where it is not installed, or does not tell. */
  installedVersion(name: string): string | undefined;
  /** Sets what the native binding of TensorFlow.js reads while it is loaded; `threads` undefined: it decides. */
  prepareTensorFlow(threads: number | undefined): void;
}

/** In bytes. */
export interface AddressSpace {
  readonly limit: number;
  readonly taken: number;
}

/** What the processor says of itself. */
export interface Processor {
  /** As Node names them: 'x64', 'arm64', ... */
  readonly architecture: string;
  /** Instruction sets as Linux names them, e.g. 'avx_vnni'; none where nobody tells. */
  flags(): ReadonlySet<string>;
  /** Of one core; undefined where nobody tells. */
  secondLevelCacheBytes(): number | undefined;
}

/** The engine that compiles kernels, where that is V8. */
export interface V8 {
  /** Major and minor, e.g. 13.6. */
  readonly version: number;
  /** Sets flags, e.g. '--no-liftoff', for the whole process. */
  setFlags(flags: string): void;
}

/** A value that code sees, and what it calls and awaits; other code that runs meanwhile does not. */
export interface Context<T> {
  /** The innermost `run`'s value. */
  get(): T | undefined;
  run<R>(value: T, work: () => R): R;
}

/** A thread, from outside. Messages come in order. */
export interface Worker {
  send(message: unknown): void;
  /** The next of its messages, undefined where there is none now. Does not wait. */
  receive(): unknown;
  terminate(): void;
}

/** The same thread, from inside. It may compute for ever: messages are not events, it asks for them. */
export interface WorkerSide<D = unknown> {
  readonly data: D;
  /** The next of its messages, which has been sent; to be awaited, since it may still be on its way. */
  receive(): unknown;
  send(message: unknown): void;
}
