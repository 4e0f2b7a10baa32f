import { UserError } from '../engine/index.js';

/** The numbers under these keys of an object of a report; undefined where there is none. UserError where one is missing. */
export function numbersOf<K extends string>(
  value: unknown,
  keys: readonly K[],
  where: string,
): Record<K, number> | undefined {
  if (value === undefined || value === null) return undefined;
  const held = value as Record<string, unknown>;
  const missing = keys.find((key) => !Number.isFinite(held[key]));
  if (missing !== undefined) throw new UserError(`${where} holds no number ${missing}`);
  return held as Record<K, number>;
}
