import { decodeFloats } from '../../engine/index.js';
import { floatType, ggmlTypes, type GgmlType } from './ggmlTypes.js';
import { grouped, half, nibble, twoBits, type Grouped } from './groupedBlocks.js';

/** Reads one block of `bytes` at `at` into `out` at `to`. Each float32 operation rounds, in ggml's order. */
type Decode = (bytes: DataView, at: number, out: Float32Array, to: number) => void;

const { fround } = Math;

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

/** f16 d, m; 16 bytes. d q + m */
const q4_1: Decode = (bytes, at, out, to) => {
  const [d, m] = [half(bytes, at), half(bytes, at + 2)];
  for (let e = 0; e < 32; e++) out[to + e] = fround(nibble(bytes, at + 4, e) * d) + m;
};

/** f16 d, m; 32 fifth bits; 16 bytes. d q + m */
const q5_1: Decode = (bytes, at, out, to) => {
  const [d, m, high] = [half(bytes, at), half(bytes, at + 2), bytes.getUint32(at + 4, true)];
  for (let e = 0; e < 32; e++) out[to + e] = fround((nibble(bytes, at + 8, e) + 16 * ((high >>> e) & 1)) * d) + m;
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

/** A scale times an integer. */
const inGroups =
  ({ group, scale, integer }: Grouped, block: number): Decode =>
  (bytes, at, out, to) => {
    for (let j = 0; j < block / group; j++) {
      const step = scale(bytes, at, j);
      for (let e = j * group; e < (j + 1) * group; e++) out[to + e] = step * integer(bytes, at, e);
    }
  };

const decoders = {
  ...(Object.fromEntries(
    Object.entries(grouped).map(([type, layout]) => [type, inGroups(layout, ggmlTypes[type as GgmlType].block)]),
  ) as Record<keyof typeof grouped, Decode>),
  Q4_1: q4_1,
  Q5_1: q5_1,
  Q2_K: q2_k,
  Q4_K: scaledNibbles(false),
  Q5_K: scaledNibbles(true),
} satisfies Partial<Record<GgmlType, Decode>>;
