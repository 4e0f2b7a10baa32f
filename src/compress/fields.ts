import { UserError } from '../engine/index.js';

/** Reads a value of JSON, or refuses it by its key and what was expected. */
export type Read<T> = (value: unknown, key: string) => T;

/** `recipe.json: quantize.groupSize must be one of 32, 64, found 48` */
export function refuse(key: string, expected: string, value: unknown): never {
  const found = value === undefined ? 'nothing' : JSON.stringify(value);
  throw new UserError(`${key} must be ${expected}, found ${found.length > 60 ? `${found.slice(0, 59)}…` : found}`);
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
    refuse(key, choices.length > 1 ? `one of ${choices.join(', ')}` : `'${choices[0]}'`, value);

export const list =
  <T>(item: Read<T>, least = 0): Read<readonly T[]> =>
  (value, key) =>
    Array.isArray(value) && value.length >= least
      ? value.map((one, i) => item(one, `${key}[${i}]`))
      : refuse(key, least ? `a list of at least ${least}` : 'a list', value);

/** An object of these keys and no others. */
export const object =
  <T extends object>(fields: { readonly [K in keyof T]: Read<T[K]> }): Read<T> =>
  (value, key) => {
    const names = Object.keys(fields) as (keyof T & string)[];
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return refuse(key, `an object with ${names.join(', ')}`, value);
    const given = value as Record<string, unknown>;
    const at = (name: string): string => (key.endsWith(':') ? `${key} ${name}` : `${key}.${name}`);
    const unknown = Object.keys(given).find((name) => !names.includes(name as keyof T & string));
    if (unknown !== undefined)
      throw new UserError(`${at(unknown)} is not known`, { hint: `the keys there are ${names.join(', ')}` });
    return Object.fromEntries(names.map((name) => [name, fields[name](given[name], at(name))])) as T;
  };
