import { float16ToFloat32 } from '../../engine/index.js';
import type { GgmlType } from './ggmlTypes.js';

/** A type whose values are a scale times an integer of at most 8 bits, and nothing added (docs/formats.md, 'GGUF blocks'). */
export interface Grouped {
  /** Values that share a scale. */
  readonly group: 16 | 32;
  /** Of group `j` of the block at `at`: a float16, or a float32 product. */
  readonly scale: (bytes: DataView, at: number, j: number) => number;
  /** Of value `e` of the block. */
  readonly integer: (bytes: DataView, at: number, e: number) => number;
}

const { fround } = Math;
export const half = (bytes: DataView, at: number): number => float16ToFloat32(bytes.getUint16(at, true));

/** Nibble `e` of 32: the low halves of 16 bytes come first, then the high ones. */
export const nibble = (bytes: DataView, at: number, e: number): number =>
  e < 16 ? bytes.getUint8(at + e) & 15 : bytes.getUint8(at + e - 16) >> 4;

/** Of 64 bytes, each half of which holds 128 values of 2 bits: 32 bytes, four values deep. */
export const twoBits = (bytes: DataView, at: number, e: number): number =>
  (bytes.getUint8(at + 32 * (e >> 7) + (e & 31)) >> (2 * ((e & 127) >> 5))) & 3;

const uneven = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

export const grouped = {
  /** f16 d; 16 bytes. d (q - 8) */
  Q4_0: {
    group: 32,
    scale: half,
    integer: (bytes, at, e) => nibble(bytes, at + 2, e) - 8,
  },
  /** f16 d; 32 fifth bits; 16 bytes. d (q - 16) */
  Q5_0: {
    group: 32,
    scale: half,
    integer: (bytes, at, e) => nibble(bytes, at + 6, e) + 16 * ((bytes.getUint32(at + 2, true) >>> e) & 1) - 16,
  },
  /** f16 d; 32 int8. d q */
  Q8_0: {
    group: 32,
    scale: half,
    integer: (bytes, at, e) => bytes.getInt8(at + 2 + e),
  },
  /** 32 bytes of third bits; 64 bytes; 12 bytes of 6-bit scales; f16 d. d (scale - 32) (q - 4), a set third bit being 4 */
  Q3_K: {
    group: 16,
    scale: (bytes, at, j) => {
      const low = bytes.getUint8(at + 96 + (j & 7));
      const high = bytes.getUint8(at + 104 + (j & 3));
      const scale = (j < 8 ? low & 15 : low >> 4) | (((high >> (2 * (j >> 2))) & 3) << 4);
      return fround(half(bytes, at + 108) * (scale - 32));
    },
    integer: (bytes, at, e) => {
      const third = (bytes.getUint8(at + (e & 31)) >> (e >> 5)) & 1;
      return twoBits(bytes, at + 32, e) - (third ? 0 : 4);
    },
  },
  /** 128 bytes of low nibbles; 64 bytes of high bits; 16 int8 scales; f16 d. d scale (q - 32) */
  Q6_K: {
    group: 16,
    scale: (bytes, at, j) => fround(half(bytes, at + 208) * bytes.getInt8(at + 192 + j)),
    integer: (bytes, at, e) => {
      const r = e & 127;
      const low = (bytes.getUint8(at + 64 * (e >> 7) + (r & 63)) >> (r & 64 ? 4 : 0)) & 15;
      const high = (bytes.getUint8(at + 128 + 32 * (e >> 7) + (r & 31)) >> (2 * (r >> 5))) & 3;
      return (low | (high << 4)) - 32;
    },
  },
  /** f16 d; 16 bytes. d times a value of the table */
  IQ4_NL: {
    group: 32,
    scale: half,
    integer: (bytes, at, e) => uneven[nibble(bytes, at + 2, e)],
  },
} satisfies Partial<Record<GgmlType, Grouped>>;
