import type { ComputeOptions } from '../jobs/index.js';
import type { Drops, LoadOptions, MemoryLimit } from '../models/index.js';
import { rtnQuantizer, type Int4Options } from '../quant/index.js';
import type { commonOptions, Option } from './options.js';
import type { Ui } from './ui.js';

export type Options = Readonly<Record<string, Option<unknown>>>;

/** The parsed values of a command's options, by their names. */
export type Values<O extends Options> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };

export type CommonValues = Values<typeof commonOptions>;

interface Definition<O extends Options> {
  /** What the help says beyond the summary. */
  readonly description?: string;
  /** The model folder when none is given; without it, MODEL must be given. */
  readonly defaultModel?: () => string;
  /** For a command that takes files instead of a model: what they are. */
  readonly inputs?: string;
  /** For a command whose argument is no model that it reads: what it is. */
  readonly argument?: string;
  /** False for a command that only reads and writes files and needs no engine. @defaultValue true */
  readonly computes?: boolean;
  readonly options: O;
  /** Names that options had before, which still work and are shown nowhere: the old name -> the option's. */
  readonly oldNames?: Readonly<Record<string, string>>;
  /** Options that the library calls by another name: its name -> the one here. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** Arguments behind `llm-drop`, and what they do. */
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  run(
    values: Values<O> & CommonValues & { readonly model: string; readonly inputs: readonly string[] },
    ui: Ui,
  ): Promise<void>;
}

/** A command as the program registers it, whatever the types of its options. */
export interface Command extends Omit<Definition<Options>, 'run'> {
  readonly name: string;
  readonly summary: string;
  run(values: object, ui: Ui): Promise<void>;
}

/** Every command takes one model, or files; what sets it apart is its options and what it calls. */
export function command<O extends Options>(name: string, summary: string, definition: Definition<O>): Command {
  return {
    ...definition,
    name,
    summary,
    run: (values, ui) => definition.run(values as Parameters<Definition<O>['run']>[0], ui),
  };
}

/** The part of a command's values that decides what `loadModel` loads, and how. */
export interface LoadValues extends Pick<
  CommonValues,
  'backend' | 'threads' | 'int4' | 'groupSize' | 'asymmetric' | 'head' | 'int4Exact'
> {
  readonly dropAttn?: readonly number[];
  readonly dropMlp?: readonly number[];
  readonly memory?: MemoryLimit;
}

/** The options of `loadModel` from a command's values. */
export const loadOptionsOf = (o: LoadValues): LoadOptions => ({
  backend: o.backend,
  threads: o.threads,
  v8Flags: true, // changes how this process compiles, which is the program's to decide
  int4: o.int4Exact ? 'exact' : 'fast',
  drops: dropsOf(o),
  memory: o.memory,
  quantize: o.int4
    ? rtnQuantizer({ groupSize: o.groupSize as Int4Options['groupSize'], symmetric: !o.asymmetric, head: o.head })
    : undefined,
});

/** What a job computes with that reads weights as they are stored. */
export const computeOptionsOf = ({ backend, threads }: LoadValues): ComputeOptions => ({
  backend,
  threads,
  v8Flags: true,
});

export const dropsOf = ({ dropAttn = [], dropMlp = [] }: Pick<LoadValues, 'dropAttn' | 'dropMlp'>): Drops => ({
  attention: dropAttn,
  mlp: dropMlp,
});
