import { UserError, refuse, type Read } from '../engine/index.js';

/** What is left out, or null, is `value`. */
export const fallback =
  <T, F extends T | null>(read: Read<T>, value: F): Read<T | F> =>
  (given, key) =>
    given === undefined || given === null ? value : read(given, key);

export const optional = <T>(read: Read<T>): Read<T | null> => fallback(read, null);

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
