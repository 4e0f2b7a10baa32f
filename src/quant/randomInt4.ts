import { float32ToFloat16, groupsOf, middle, type Int4Rows, type Int4Source, type Shape } from '../engine/index.js';
import { hash, seedOption, uniform, type Quantize } from '../models/index.js';
import { int4Format, type Int4Options } from './int4Options.js';
import { storedAs } from './quantizeParameters.js';

/** Deviation of q - 8 for q as `randomInt4` draws it: uniform on -7 to 7, 0 twice as often. */
const deviation = Math.sqrt(280 / 16);

/** A weight of random int4 numbers of deviation about 1 / sqrt(in), made row by row: no float weight exists. */
export function randomInt4(
  name: string,
  shape: Shape,
  { seed = 0, ...options }: Int4Options & { seed?: number } = {},
): Int4Source {
  seedOption(seed, '`seed`');
  const format = int4Format(options);
  const width = shape[shape.length - 1];
  const [rowBytes, groups] = [Math.ceil(width / 2), groupsOf(width, format)];
  const scale = float32ToFloat16(1 / (Math.sqrt(width) * deviation));
  const rowsOf = (start: number, end: number): Int4Rows => {
    const quants = new Uint8Array((end - start) * rowBytes);
    const words = new Int32Array(Math.ceil(rowBytes / 4));
    const bytes = new Uint8Array(words.buffer, 0, rowBytes);
    for (let row = start; row < end; row++) {
      fill(words, uniform(hash(`${seed} ${name}`) + row)());
      quants.set(bytes, (row - start) * rowBytes);
    }
    const count = (end - start) * groups;
    const zeros = format.zeroPoints ? new Uint8Array(count).fill(middle) : undefined;
    return { quants, scales: new Uint16Array(count).fill(scale), zeros };
  };
  return { name, shape, dtype: 'int4', format, readInt4: async (start, end) => rowsOf(start, end) };
}

/** The hook by which `createModel` makes a model of random int4 weights, of any size that fits as int4. */
export const randomQuantizer =
  (options: Int4Options & { seed?: number } = {}): Quantize =>
  (source, spec) =>
    storedAs(spec, { head: 'int4', ...options }) === 'int4' ? randomInt4(source.name, source.shape, options) : source;

/** Eight nibbles a word, from 1 to 15, begun from a number in [0, 1). */
function fill(words: Int32Array, start: number): void {
  let state = (start * 2 ** 32) | 1;
  for (let i = 0; i < words.length; i++) {
    // xorshift32 (Marsaglia, 2003)
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // A nibble of 0 becomes 8, so that the numbers lie evenly about zero.
    const pairs = state | (state >>> 1);
    words[i] = state | ((~(pairs | (pairs >>> 2)) & 0x11111111) << 3);
  }
}
