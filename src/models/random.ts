/** Seeded random numbers: the same seed gives the same numbers on every machine. */

import { whole } from '../engine/index.js';

/** What a seed may be. */
export const seedOption = whole(0, 2 ** 32 - 1);

/** Uniform in [0, 1): mulberry32. */
export function uniform(seed: number): () => number {
  let state = seedOption(seed, '`seed`');
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers (Box and Muller, 1958), seeded by a text. */
export function normalNumbers(seed: string, count: number): Float32Array {
  const next = uniform(hash(seed));
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    const angle = 2 * Math.PI * next();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

/** FNV-1a: 32 bits of a text. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
