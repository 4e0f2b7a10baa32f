import { didYouMean, shownName, shownValue } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/** Reads a value of JSON, or refuses it by its key and what was expected. */
export type Read<T> = (value: unknown, key: string) => T;

/** `recipe.json: quantize.groupSize must be one of 32, 64, found 48` */
export function refuse(key: string, expected: string, value: unknown, hint?: string): never {
  throw new UserError(`${key} must be ${expected}, found ${shownValue(value)}`, { hint });
}

/** What is left out, or null, is `value`. */
export const fallback =
  <T, F extends T | null>(read: Read<T>, value: F): Read<T | F> =>
  (given, key) =>
    given === undefined || given === null ? value : read(given, key);

export const optional = <T>(read: Read<T>): Read<T | null> => fallback(read, null);

export const text: Read<string> = (value, key) =>
  typeof value === 'string' && value !== '' ? value : refuse(key, 'a text', value);

export const flag: Read<boolean> = (value, key) =>
  typeof value === 'boolean' ? value : refuse(key, 'true or false', value);

export const whole =
  (least: number): Read<number> =>
  (value, key) =>
    Number.isSafeInteger(value) && (value as number) >= least
      ? (value as number)
      : refuse(key, `a whole number of at least ${least}`, value);

/** A number for which `fits` holds, in words `expected`. */
export const number =
  (expected: string, fits: (value: number) => boolean): Read<number> =>
  (value, key) =>
    typeof value === 'number' && fits(value) ? value : refuse(key, expected, value);

export const oneOf =
  <T extends string | number>(choices: readonly T[]): Read<T> =>
  (value, key) =>
    choices.find((one) => one === value) ??
    refuse(
      key,
      choices.length > 1 ? `one of ${choices.join(', ')}` : `'${choices[0]}'`,
      value,
      typeof value === 'string' ? didYouMean(value, choices.map(String)) : undefined,
    );

export const list =
  <T>(item: Read<T>, least = 0): Read<readonly T[]> =>
  (value, key) =>
    Array.isArray(value) && value.length >= least
      ? value.map((one, i) => item(one, `${key}[${i}]`))
      : refuse(key, least ? `a list of at least ${least}` : 'a list', value);

/** An object of these keys and no others; `oldNames` are what keys were called before, which still works. */
export const object =
  <T extends object>(
    fields: { readonly [K in keyof T]: Read<T[K]> },
    oldNames: Readonly<Record<string, keyof T & string>> = {},
  ): Read<T> =>
  (value, key) => {
    const names = Object.keys(fields) as (keyof T & string)[];
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return refuse(key, `an object with ${names.join(', ')}`, value);
    const given = renamed(value as Record<string, unknown>, oldNames);
    const at = (name: string): string => (key.endsWith(':') ? `${key} ${name}` : `${key}.${name}`);
    const unknown = Object.keys(given).find((name) => !names.includes(name as keyof T & string));
    if (unknown !== undefined)
      throw new UserError(`${at(shownName(unknown))} is not known`, {
        hint: [didYouMean(unknown, names) ?? [], `the keys there are ${names.join(', ')}`].flat().join(' '),
      });
    return Object.fromEntries(names.map((name) => [name, fields[name](given[name], at(name))])) as T;
  };

/** An old name beside the new one stays, and is refused as one that is not known. */
const renamed = (given: Record<string, unknown>, oldNames: Readonly<Record<string, string>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const now = Object.hasOwn(oldNames, name) ? oldNames[name] : name;
      return [now in given ? name : now, value];
    }),
  );
