import { decodeFloats, float16ToFloat32 } from '../../engine/index.js';
import { floatType, ggmlTypes, type GgmlType } from './ggmlTypes.js';

/** Reads one block of `bytes` at `at` into `out` at `to`. Each float32 operation rounds, in ggml's order. */
type Decode = (bytes: DataView, at: number, out: Float32Array, to: number) => void;

const { fround } = Math;
const half = (bytes: DataView, at: number): number => float16ToFloat32(bytes.getUint16(at, true));

/**
 * Blocks as floats, by ggml's reference (`dequantize_row_*`; docs/formats.md, 'GGUF blocks'): the same float32 values,
 * bit for bit.
 */
export function decodeGgml(bytes: Uint8Array, type: GgmlType): Float32Array {
  const dtype = floatType(type);
  if (dtype) return decodeFloats(bytes, dtype);
  const { block, bytes: size } = ggmlTypes[type];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks = bytes.byteLength / size;
  const out = new Float32Array(blocks * block);
  const decode = decoders[type as keyof typeof decoders];
  for (let i = 0; i < blocks; i++) decode(view, i * size, out, i * block);
  return out;
}

/** Nibble `e` of 32: the low halves of 16 bytes come first, then the high ones. */
const nibble = (bytes: DataView, at: number, e: number): number =>
  e < 16 ? bytes.getUint8(at + e) & 15 : bytes.getUint8(at + e - 16) >> 4;

/** f16 d; 16 bytes. d (q - 8) */
const q4_0: Decode = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let e = 0; e < 32; e++) out[to + e] = (nibble(bytes, at + 2, e) - 8) * d;
};

/** f16 d, m; 16 bytes. d q + m */
const q4_1: Decode = (bytes, at, out, to) => {
  const [d, m] = [half(bytes, at), half(bytes, at + 2)];
  for (let e = 0; e < 32; e++) out[to + e] = fround(nibble(bytes, at + 4, e) * d) + m;
};

/** f16 d; 32 fifth bits; 16 bytes. d (q - 16) */
const q5_0: Decode = (bytes, at, out, to) => {
  const [d, high] = [half(bytes, at), bytes.getUint32(at + 2, true)];
  for (let e = 0; e < 32; e++) out[to + e] = (nibble(bytes, at + 6, e) + 16 * ((high >>> e) & 1) - 16) * d;
};

/** f16 d, m; 32 fifth bits; 16 bytes. d q + m */
const q5_1: Decode = (bytes, at, out, to) => {
  const [d, m, high] = [half(bytes, at), half(bytes, at + 2), bytes.getUint32(at + 4, true)];
  for (let e = 0; e < 32; e++) out[to + e] = fround((nibble(bytes, at + 8, e) + 16 * ((high >>> e) & 1)) * d) + m;
};

/** f16 d; 32 int8. d q */
const q8_0: Decode = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let e = 0; e < 32; e++) out[to + e] = bytes.getInt8(at + 2 + e) * d;
};

/** 16 bytes of scale and minimum, 4 bits each; 64 bytes; f16 d, m. d scale q - m minimum */
const q2_k: Decode = (bytes, at, out, to) => {
  const [d, m] = [half(bytes, at + 80), half(bytes, at + 82)];
  for (let e = 0; e < 256; e++) {
    const scales = bytes.getUint8(at + (e >> 4));
    const q = twoBits(bytes, at + 16, e);
    out[to + e] = fround(fround(d * (scales & 15)) * q) - fround(m * (scales >> 4));
  }
};

/** 32 bytes of third bits; 64 bytes; 12 bytes of 6-bit scales; f16 d. d (scale - 32) (q - 4), a set third bit being 4 */
const q3_k: Decode = (bytes, at, out, to) => {
  const d = half(bytes, at + 108);
  for (let e = 0; e < 256; e++) {
    const j = e >> 4;
    const low = bytes.getUint8(at + 96 + (j & 7));
    const high = bytes.getUint8(at + 104 + (j & 3));
    const scale = (j < 8 ? low & 15 : low >> 4) | (((high >> (2 * (j >> 2))) & 3) << 4);
    const third = (bytes.getUint8(at + (e & 31)) >> (e >> 5)) & 1;
    out[to + e] = fround(d * (scale - 32)) * (twoBits(bytes, at + 32, e) - (third ? 0 : 4));
  }
};

/** Of 64 bytes, each half of which holds 128 values of 2 bits: 32 bytes, four values deep. */
const twoBits = (bytes: DataView, at: number, e: number): number =>
  (bytes.getUint8(at + 32 * (e >> 7) + (e & 31)) >> (2 * ((e & 127) >> 5))) & 3;

/** The 6-bit scale and minimum of 32 values `j`, of 12 bytes that hold eight of each. */
export function scaleAndMinimum(bytes: DataView, at: number, j: number): [scale: number, minimum: number] {
  if (j < 4) return [bytes.getUint8(at + j) & 63, bytes.getUint8(at + j + 4) & 63];
  const both = bytes.getUint8(at + j + 4);
  return [(both & 15) | ((bytes.getUint8(at + j - 4) >> 6) << 4), (both >> 4) | ((bytes.getUint8(at + j) >> 6) << 4)];
}

/** Nibble `e` of 256: runs of 32 bytes hold 32 values in their low halves, and the next 32 in their high ones. */
const runNibble = (bytes: DataView, at: number, e: number): number =>
  (bytes.getUint8(at + 32 * (e >> 6) + (e & 31)) >> (e & 32 ? 4 : 0)) & 15;

/** f16 d, m; 12 bytes of scales and minima; perhaps 32 bytes of fifth bits; 128 bytes. d scale q - m minimum */
const scaledNibbles =
  (fifth: boolean): Decode =>
  (bytes, at, out, to) => {
    const [d, m] = [half(bytes, at), half(bytes, at + 2)];
    const quants = at + (fifth ? 48 : 16);
    for (let j = 0; j < 8; j++) {
      const [scale, minimum] = scaleAndMinimum(bytes, at + 4, j);
      const [step, least] = [fround(d * scale), fround(m * minimum)];
      for (let e = 32 * j; e < 32 * j + 32; e++) {
        const high = fifth ? (bytes.getUint8(at + 16 + (e & 31)) >> j) & 1 : 0;
        out[to + e] = fround(step * (runNibble(bytes, quants, e) + 16 * high)) - least;
      }
    }
  };

/** 128 bytes of low nibbles; 64 bytes of high bits; 16 int8 scales; f16 d. d scale (q - 32) */
const q6_k: Decode = (bytes, at, out, to) => {
  const d = half(bytes, at + 208);
  for (let e = 0; e < 256; e++) {
    const r = e & 127;
    const low = (bytes.getUint8(at + 64 * (e >> 7) + (r & 63)) >> (r & 64 ? 4 : 0)) & 15;
    const high = (bytes.getUint8(at + 128 + 32 * (e >> 7) + (r & 31)) >> (2 * (r >> 5))) & 3;
    out[to + e] = fround(d * bytes.getInt8(at + 192 + (e >> 4))) * ((low | (high << 4)) - 32);
  }
};

const uneven = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** f16 d; 16 bytes. d times a value of the table */
const iq4_nl: Decode = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let e = 0; e < 32; e++) out[to + e] = d * uneven[nibble(bytes, at + 2, e)];
};

const decoders = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2_k,
  Q3_K: q3_k,
  Q4_K: scaledNibbles(false),
  Q5_K: scaledNibbles(true),
  Q6_K: q6_k,
  IQ4_NL: iq4_nl,
} satisfies Partial<Record<GgmlType, Decode>>;
