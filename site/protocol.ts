/** What the page asks of its worker, and what it is told. */
import type { Drops, ModuleKind } from 'llm-drop';

/** Where a model is: a URL, or files that were given to the page, by their paths within a folder. */
export type ModelPlace =
  { readonly url: string } | { readonly name: string; readonly files: ReadonlyMap<string, File> };

export interface ModelFacts {
  readonly name: string;
  readonly type: string;
  readonly layers: number;
  readonly parameters: number;
  /** Tokens of a text at most. */
  readonly context: number;
  readonly backend: string;
  readonly threads: number;
  /** What the checkpoint lacks: it cannot be switched on. */
  readonly absent: Drops;
  /** What was odd about the files. */
  readonly notes: readonly string[];
}

/** How redundant each module is, of -1 to 1; null for one that is absent. */
export type Similarity = Readonly<Record<ModuleKind, readonly (number | null)[]>>;

export interface RunOptions {
  readonly drops: Drops;
  readonly prompt: string;
  readonly passage: string;
}

export interface Readings {
  /** Mean nats a token, on the passage. */
  readonly loss: number;
  readonly tokensPerSecond: number;
  /** Keys and values of one token. */
  readonly kvBytes: number;
  /** The prompt, continued. */
  readonly text: string;
}

/** What comes before the answer. */
export type Told = { readonly progress: string } | { readonly loss: number } | { readonly piece: string };

export interface Calls {
  open(place: ModelPlace): ModelFacts;
  /** Scores all modules on a passage. */
  score(options: { readonly passage: string }): Similarity;
  /** The most redundant modules of the last scores, so many of each kind. */
  choose(counts: Readonly<Record<ModuleKind, number>>): Drops;
  /** Measures and generates without some modules. A later call ends an earlier one. */
  run(options: RunOptions): Readings;
}

export type CallName = keyof Calls;
export type Asked<N extends CallName> = Parameters<Calls[N]>[0];
export type Answer<N extends CallName> = ReturnType<Calls[N]>;

export interface Request<N extends CallName = CallName> {
  readonly id: number;
  readonly name: N;
  readonly options: Asked<N>;
}

/** `stopped`: a later call ended it. */
export type Response =
  | { readonly id: number; readonly told: Told }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly id: number; readonly stopped: true };
