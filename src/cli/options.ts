import { backendChoices, UserError, didYouMean, shownValue, type BackendChoice } from '../engine/index.js';
import { parseLayerList } from './layerList.js';

/** One option of a command; its flag is its name in the command, `dropAttn` being `--drop-attn`. */
export interface Option<T> {
  readonly description: string;
  /** What the help calls the value; a flag without a value has none. */
  readonly value?: string;
  readonly default?: T;
  readonly required?: boolean;
  /** The value may be left out, which gives `true`. */
  readonly optional?: boolean;
  /** Takes several values, and may be given several times. */
  readonly variadic?: boolean;
  /** Names models: folders, or names of the hub. */
  readonly model?: boolean;
  /** `flag` is for messages. */
  readonly parse?: (text: string, flag: string) => T;
}

/** True when given. */
export const flag = (description: string): Option<boolean> => ({ description, default: false });

export const text = (description: string, value = 'text'): Option<string | undefined> => ({ description, value });

export const requiredText = (description: string, value = 'text'): Option<string> => ({
  description,
  value,
  required: true,
});

export const files = (description: string): Option<readonly string[] | undefined> => ({
  description,
  value: 'file',
  variadic: true,
});

export const requiredFiles = (description: string): Option<readonly string[]> => ({
  description,
  value: 'file',
  variadic: true,
  required: true,
});

/** A whole number of at least `least`. */
export function int(description: string, least: number, fallback: number): Option<number>;
export function int(description: string, least: number): Option<number | undefined>;
export function int(description: string, least: number, fallback?: number): Option<number | undefined> {
  const parse = (given: string, name: string): number => {
    const number = Number(given);
    if (!/^[+-]?\d+$/.test(given.trim()) || !Number.isSafeInteger(number) || number < least)
      throw new UserError(`${name} must be a whole number of at least ${least}, found ${shownValue(given)}`);
    return number;
  };
  return { description, value: 'n', default: fallback, parse };
}

export function number(description: string, fallback: number): Option<number>;
export function number(description: string): Option<number | undefined>;
export function number(description: string, fallback?: number): Option<number | undefined> {
  const parse = (given: string, name: string): number => {
    if (given.trim() === '' || !Number.isFinite(Number(given)))
      throw new UserError(`${name} must be a number, found ${shownValue(given)}`);
    return Number(given);
  };
  return { description, value: 'x', default: fallback, parse };
}

export function choice<T extends string>(description: string, choices: readonly T[], fallback: T): Option<T>;
export function choice<T extends string>(description: string, choices: readonly T[]): Option<T | undefined>;
export function choice<T extends string>(
  description: string,
  choices: readonly T[],
  fallback?: T,
): Option<T | undefined> {
  const parse = (given: string, name: string): T => {
    const found = choices.find((one) => one === given);
    if (found === undefined)
      throw new UserError(`${name} must be one of ${choices.join(', ')}, found ${shownValue(given)}`, {
        hint: didYouMean(given, choices),
      });
    return found;
  };
  return { description, value: choices.join('|'), default: fallback, parse };
}

/** Whole numbers such as `1,2,4`. */
export function numbers(description: string, least: number, fallback: readonly number[]): Option<readonly number[]>;
export function numbers(description: string, least: number): Option<readonly number[] | undefined>;
export function numbers(
  description: string,
  least: number,
  fallback?: readonly number[],
): Option<readonly number[] | undefined> {
  const parse = (given: string, name: string): number[] =>
    given.split(',').map((entry) => {
      const value = Number(entry);
      if (!/^\s*\d+\s*$/.test(entry) || !Number.isSafeInteger(value) || value < least)
        throw new UserError(
          `${name} must be whole numbers of at least ${least}, such as ${least},8, found ${shownValue(given)}`,
        );
      return value;
    });
  return { description, value: 'n,...', default: fallback, parse };
}

/** Several of some words, such as `attention,mlp`. */
export const choices = <T extends string>(
  description: string,
  known: readonly T[],
  fallback: readonly T[],
): Option<readonly T[]> => ({
  description,
  value: 'name,...',
  default: fallback,
  parse: (given, name) =>
    given.split(',').map((entry) => {
      const found = known.find((one) => one === entry.trim());
      if (found === undefined)
        throw new UserError(`${name} must be some of ${known.join(',')}, found ${shownValue(entry.trim())}`, {
          hint: didYouMean(entry.trim(), known),
        });
      return found;
    }),
});

/** Names such as `arc_easy,mmlu`, which what is called knows or refuses. */
export const names = (description: string): Option<readonly string[] | undefined> => ({
  description,
  value: 'name,...',
  parse: (given) => given.split(',').map((entry) => entry.trim()),
});

/** Layers such as `3,5` or `3-5`. */
export const layers = (description: string): Option<readonly number[] | undefined> => ({
  description,
  value: 'layers',
  parse: parseLayerList,
});

/** Modules skipped from the start: their weights are not read. */
export const dropOptions = {
  dropAttn: layers('drop the attention of these layers, e.g. 3,5 or 3-5'),
  dropMlp: layers('drop the MLP of these layers'),
};

export const overwriteOption = flag('replace a file, or a model folder that holds nothing else');

/** What every command takes. */
export const commonOptions = {
  backend: choice<BackendChoice>('what computes', backendChoices, 'wasm'),
  threads: int('threads to compute with (default: what the backend makes good use of)', 1),
  adapter: text('merge this LoRA adapter (as PEFT saves it) into the weights as they are read', 'dir'),
  int4: flag('hold weights in 4 bits, in groups along a row, rounded to nearest'),
  int8: flag('hold weights in 8 bits, in groups of 32 along a row, rounded to nearest'),
  groupSize: int('with --int4, weights that share a scale: 32, 64 or 128', 1, 32),
  asymmetric: flag('with --int4, give each group a zero point'),
  head: choice<'int4' | 'int8' | 'bf16' | 'float'>(
    'how embedding and output projection are held (default: as the other weights)',
    ['int4', 'int8', 'bf16', 'float'],
  ),
  int4Exact: flag(
    'multiply int4 weights, also those that a file stores, with activations in float32; by default wasm makes these integers of 8 bits on the way',
  ),
  json: flag('print one JSON document on stdout and nothing else'),
  verbose: flag('show the stack of an error'),
};
