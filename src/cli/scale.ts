import { UserError, shownValue } from '../engine/index.js';
import type { Shard } from '../drop/index.js';
import type { Option } from './options.js';

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** Bytes such as `2GB`, `1.5 GiB` or `800M`. */
const size = (description: string): Option<number | undefined> => ({
  description,
  value: 'size',
  parse: (given, name) => {
    const [, amount, unit] = /^\s*([\d.]+)\s*([kmgt]?i?)b?\s*$/i.exec(given) ?? [];
    const bytes = Number(amount) * units[unit?.toLowerCase() ?? 'none'];
    if (!(bytes > 0)) throw new UserError(`${name} must be a size such as 2GB or 800MB, found ${shownValue(given)}`);
    return Math.floor(bytes);
  },
});

/** One of several parts, such as `3/16`. */
export const shard = (description: string): Option<Shard | undefined> => ({
  description,
  value: 'i/n',
  parse: (given, name) => {
    const [, index, count] = (/^(\d+)\/(\d+)$/.exec(given) ?? []).map(Number);
    if (!(index >= 1 && index <= count))
      throw new UserError(`${name} must be a part such as 3/16, counted from 1, found ${shownValue(given)}`);
    return { index, count };
  },
});

export const maxMemoryOption = size('memory to stay under, e.g. 2GB (default: 80% of the machine)');
