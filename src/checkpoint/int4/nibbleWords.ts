/**
 * Matrices of 4-bit integers, eight to a 32-bit word, the first in the lowest bits. Along a row that is the order of
 * `Int4Rows.quants`: its bytes, padded to whole words, are the words.
 */

/** An order of eight: position i takes element order[i]. */
export type Order = readonly number[];

/** One after the other. */
export const inOrder: Order = [0, 1, 2, 3, 4, 5, 6, 7];

export const wordsAcross = (width: number): number => Math.ceil(width / 8);

/** A matrix [rows, columns] of words as [columns, rows]. */
export function transposedWords(words: Uint32Array, rows: number, columns: number): Uint32Array {
  const out = new Uint32Array(words.length);
  // A cache line holds 16 words: columns go by strips of 16, so that each line is used up while it is cached.
  for (let first = 0; first < columns; first += 16) {
    const last = Math.min(columns, first + 16);
    for (let column = first; column < last; column++) {
      let from = column;
      for (let to = column * rows; to < (column + 1) * rows; to++, from += columns) out[to] = words[from];
    }
  }
  return out;
}

/**
 * Transposes a matrix of 4-bit integers [rows, 8 * across], packed along its rows, to [8 * across, ceil(rows / 8)]
 * words, packed along what were the columns; rows missing in the last word are 0. `given` is the order of every eight
 * rows, `taken` that of every eight columns: column 8 c + i becomes row 8 c + taken[i].
 */
export function transposedNibbles(
  words: Uint32Array,
  rows: number,
  across: number,
  { given = inOrder, taken = inOrder }: { given?: Order; taken?: Order } = {},
): Uint32Array {
  const high = wordsAcross(rows);
  const out = new Uint32Array(8 * across * high);
  const [g0, g1, g2, g3, g4, g5, g6, g7] = given.map((row) => row * across);
  const [t0, t1, t2, t3, t4, t5, t6, t7] = taken.map((row) => row * high);
  const padded = rows % 8 === 0 ? words : paddedTo(words, 8 * high * across);
  for (let column = 0; column < across; column++)
    for (let block = 0; block < high; block++) {
      const from = 8 * block * across + column;
      let a = padded[from + g0];
      let b = padded[from + g1];
      let c = padded[from + g2];
      let d = padded[from + g3];
      let e = padded[from + g4];
      let f = padded[from + g5];
      let g = padded[from + g6];
      let h = padded[from + g7];
      // Eight by eight: quarters of 16 bits change places, then of 8, then of 4.
      let t = ((a >>> 16) ^ e) & 0xffff;
      a ^= t << 16;
      e ^= t;
      t = ((b >>> 16) ^ f) & 0xffff;
      b ^= t << 16;
      f ^= t;
      t = ((c >>> 16) ^ g) & 0xffff;
      c ^= t << 16;
      g ^= t;
      t = ((d >>> 16) ^ h) & 0xffff;
      d ^= t << 16;
      h ^= t;
      t = ((a >>> 8) ^ c) & 0xff00ff;
      a ^= t << 8;
      c ^= t;
      t = ((b >>> 8) ^ d) & 0xff00ff;
      b ^= t << 8;
      d ^= t;
      t = ((e >>> 8) ^ g) & 0xff00ff;
      e ^= t << 8;
      g ^= t;
      t = ((f >>> 8) ^ h) & 0xff00ff;
      f ^= t << 8;
      h ^= t;
      t = ((a >>> 4) ^ b) & 0xf0f0f0f;
      a ^= t << 4;
      b ^= t;
      t = ((c >>> 4) ^ d) & 0xf0f0f0f;
      c ^= t << 4;
      d ^= t;
      t = ((e >>> 4) ^ f) & 0xf0f0f0f;
      e ^= t << 4;
      f ^= t;
      t = ((g >>> 4) ^ h) & 0xf0f0f0f;
      g ^= t << 4;
      h ^= t;
      const to = 8 * column * high + block;
      out[to + t0] = a;
      out[to + t1] = b;
      out[to + t2] = c;
      out[to + t3] = d;
      out[to + t4] = e;
      out[to + t5] = f;
      out[to + t6] = g;
      out[to + t7] = h;
    }
  return out;
}

function paddedTo(words: Uint32Array, length: number): Uint32Array {
  const padded = new Uint32Array(length);
  padded.set(words);
  return padded;
}

/** Words [rows, wordsAcross(width)] as `Int4Rows.quants`, [rows, ceil(width / 2)] bytes. */
export function quantsOfWords(words: Uint32Array, width: number): Uint8Array {
  return recut(bytesOfWords(words), 4 * wordsAcross(width), Math.ceil(width / 2));
}

/** The other way; what lacks in a row's last word is 0. */
export function wordsOfQuants(quants: Uint8Array, width: number): Uint32Array {
  const rowBytes = 4 * wordsAcross(width);
  const words = wordsOfBytes(recut(quants, Math.ceil(width / 2), rowBytes));
  if (width % 8 === 0) return words;
  // The half of a byte that an odd width leaves over may hold anything.
  const mask = 2 ** (4 * (width % 8)) - 1;
  for (let last = rowBytes / 4 - 1; last < words.length; last += rowBytes / 4) words[last] &= mask;
  return words;
}

/** Little-endian bytes as words, without a copy where they lie so. */
export const wordsOfBytes = (bytes: Uint8Array): Uint32Array =>
  bytes.byteOffset % 4 === 0
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Uint32Array(bytes.slice().buffer);

export const bytesOfWords = (words: Uint32Array | Int32Array | Uint16Array): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** Rows of `from` bytes as rows of `to`, cut or filled with zeros. */
function recut(bytes: Uint8Array, from: number, to: number): Uint8Array {
  if (from === to) return bytes;
  const rows = bytes.length / from;
  const out = new Uint8Array(rows * to);
  const kept = Math.min(from, to);
  for (let row = 0; row < rows; row++) out.set(bytes.subarray(row * from, row * from + kept), row * to);
  return out;
}

/** Every integer of words [rows, across] as a byte, [rows, 8 * across]; nibble i of word c is column 8 c + order[i]. */
export function unpacked(words: Uint32Array, order: Order = inOrder): Uint8Array {
  const out = new Uint8Array(8 * words.length);
  for (let at = 0; at < words.length; at++)
    for (let i = 0; i < 8; i++) out[8 * at + order[i]] = (words[at] >>> (4 * i)) & 15;
  return out;
}

/** The other way: bytes of 0 to 15, a multiple of eight of them. */
export function packed(values: Uint8Array, order: Order = inOrder): Uint32Array {
  const out = new Uint32Array(values.length / 8);
  for (let at = 0; at < out.length; at++) for (let i = 0; i < 8; i++) out[at] |= values[8 * at + order[i]] << (4 * i);
  return out;
}

/** A small matrix [rows, columns] as [columns, rows]. */
export function transposed<T extends Uint8Array | Uint16Array | Float32Array>(
  values: T,
  rows: number,
  columns: number,
): T {
  const out = new (values.constructor as new (length: number) => T)(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column];
  return out;
}
