import { UserError } from '../engine/index.js';
import type { ComputeOptions } from '../jobs/index.js';
import type { Drops, LoadOptions, MemoryLimit, Quantize } from '../models/index.js';
import { int8Quantizer, rtnQuantizer, type Int4Options } from '../quant/index.js';
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
  /** For a command that takes no argument. */
  readonly alone?: boolean;
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
  'adapter' | 'backend' | 'threads' | 'int4' | 'int8' | 'groupSize' | 'asymmetric' | 'head' | 'int4Exact'
> {
  readonly dropAttn?: readonly number[];
  readonly dropMlp?: readonly number[];
  readonly memory?: MemoryLimit;
}

/** The options of `loadModel` from a command's values. */
export const loadOptionsOf = (o: LoadValues): LoadOptions => ({
  adapter: o.adapter,
  backend: o.backend,
  threads: o.threads,
  v8Flags: true, // changes how this process compiles, which is the program's to decide
  int4: o.int4Exact ? 'exact' : 'fast',
  drops: dropsOf(o),
  memory: o.memory,
  quantize: quantizerOf(o),
});

/** What rounds weights as they are loaded, if anything. */
function quantizerOf({ int4, int8, groupSize, asymmetric, head }: LoadValues): Quantize | undefined {
  if (int4 && int8) throw new UserError('--int4 and --int8 exclude each other');
  if (int8) {
    if (head === 'int4')
      throw new UserError('--head int4 does not go with --int8', { hint: 'int8, bf16 and float do' });
    return int8Quantizer({ head });
  }
  if (!int4) return undefined;
  return rtnQuantizer({
    groupSize: groupSize as Int4Options['groupSize'],
    symmetric: !asymmetric,
    head: head ?? 'int4',
  });
}

/** Refuses, before the work, weights that are rounded as they are loaded. */
export function refuseRounding(
  { int4, int8 }: Pick<CommonValues, 'int4' | 'int8'>,
  reason: string,
  hint?: (flag: string) => string,
): void {
  const flag = int4 ? '--int4' : '--int8';
  if (int4 || int8) throw new UserError(`${reason}, so ${flag} does not go with it`, { hint: hint?.(flag) });
}

/** What a job computes with that reads weights as they are stored. */
export const computeOptionsOf = ({ adapter, backend, threads }: LoadValues): ComputeOptions => ({
  adapter,
  backend,
  threads,
  v8Flags: true,
});

export const dropsOf = ({ dropAttn = [], dropMlp = [] }: Pick<LoadValues, 'dropAttn' | 'dropMlp'>): Drops => ({
  attention: dropAttn,
  mlp: dropMlp,
});
