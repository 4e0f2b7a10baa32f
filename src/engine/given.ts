/** Values that a program or a file gives, checked where they enter: never taken for something else. */
import { UserError } from './errors.js';
import { didYouMean } from './nearest.js';
import { shownValue } from './shownValue.js';

/** Reads a value, or refuses it by its name and what was expected. */
export type Read<T> = (value: unknown, name: string) => T;

/** `quantize.groupSize must be one of 32, 64, found 48` */
export function refuse(name: string, expected: string, value: unknown, hint?: string): never {
  throw new UserError(`${name} must be ${expected}, found ${shownValue(value)}`, { hint });
}

export const text: Read<string> = (value, name) =>
  typeof value === 'string' && value !== '' ? value : refuse(name, 'a text', value);

export const flag: Read<boolean> = (value, name) =>
  typeof value === 'boolean' ? value : refuse(name, 'true or false', value);

export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER): Read<number> =>
  (value, name) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
      ? (value as number)
      : refuse(
          name,
          most < Number.MAX_SAFE_INTEGER
            ? `a whole number of ${least} to ${most}`
            : `a whole number of at least ${least}`,
          value,
        );

/** A number for which `fits` holds, in words `expected`. */
export const number =
  (expected: string, fits: (value: number) => boolean): Read<number> =>
  (value, name) =>
    typeof value === 'number' && fits(value) ? value : refuse(name, expected, value);

export const oneOf =
  <T extends string | number>(choices: readonly T[]): Read<T> =>
  (value, name) =>
    choices.find((one) => one === value) ??
    refuse(
      name,
      choices.length > 1 ? `one of ${choices.join(', ')}` : `'${choices[0]}'`,
      value,
      typeof value === 'string' ? didYouMean(value, choices.map(String)) : undefined,
    );

export const list =
  <T>(item: Read<T>, least = 0): Read<readonly T[]> =>
  (value, name) =>
    Array.isArray(value) && value.length >= least
      ? value.map((one, i) => item(one, `${name}[${i}]`))
      : refuse(name, least ? `a list of at least ${least}` : 'a list', value);

/** What options may be, by their names. */
export type Options<O> = { readonly [K in keyof O]?: Read<unknown> };

/**
 * Refuses an option by its name: `` `maxTokens` must be a whole number of at least 0, found NaN``. What is left out is
 * not looked at, nor what has no reader.
 */
export function checkOptions<O extends object>(given: O, readers: Options<O>): void {
  for (const [name, read] of Object.entries(readers) as [keyof O & string, Read<unknown>][])
    if (given[name] !== undefined) read(given[name], `\`${name}\``);
}
