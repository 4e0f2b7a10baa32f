import { UserError, refuse, didYouMean, shownName, type Read } from '../engine/index.js';

/** What is left out, or null, is `value`. */
export const fallback =
  <T, F extends T | null>(read: Read<T>, value: F): Read<T | F> =>
  (given, key) =>
    given === undefined || given === null ? value : read(given, key);

export const optional = <T>(read: Read<T>): Read<T | null> => fallback(read, null);

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
