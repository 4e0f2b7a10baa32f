import { ShapeError, encodeFloats } from '../../engine/index.js';
import { floatType } from './ggmlTypes.js';

/** Types that are written, too. */
export type WrittenType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1';

const fround = Math.fround;

/**
 * Floats as blocks, rounded as ggml's reference quantizers do (`quantize_row_*_ref`; docs/formats.md, 'GGUF blocks'):
 * every operation in float32, scales by their float32 value although float16 is stored.
 */
export function encodeGgml(values: Float32Array, type: WrittenType): Uint8Array {
  const dtype = floatType(type);
  if (dtype) return encodeFloats(values, dtype);
  if (values.length % 32) throw new ShapeError('encodeGgml', { values: [values.length] }, `${type} takes blocks of 32`);
  switch (type) {
    case 'Q8_0':
      return encodeQ8(values);
    case 'Q4_0':
      return encodeQ4(values);
    default:
      return encodeQ4WithMinimum(values);
  }
}

/** f16 d = max |x| / 127; 32 int8 q = x / d, halves away from zero. Value d q. */
function encodeQ8(values: Float32Array): Uint8Array {
  const blocks = values.length / 32;
  const out = new Uint8Array(blocks * 34);
  const quants = new Int8Array(out.buffer);
  const scales = new Float32Array(blocks);
  for (let b = 0; b < blocks; b++) {
    let most = 0;
    for (let i = 32 * b; i < 32 * b + 32; i++) most = Math.max(most, Math.abs(values[i]));
    const d = fround(most / 127);
    const inverse = d ? fround(1 / d) : 0;
    scales[b] = d;
    for (let i = 0; i < 32; i++) {
      const x = fround(values[32 * b + i] * inverse);
      const floor = Math.floor(Math.abs(x));
      const rounded = Math.abs(x) - floor >= 0.5 ? floor + 1 : floor;
      quants[34 * b + 2 + i] = x < 0 ? -rounded : rounded;
    }
  }
  placeHalves(out, scales, 34, 0);
  return out;
}

/** f16 d = (the value of largest magnitude) / -8; 16 bytes of q = trunc(x / d + 8.5), at most 15. Value d (q - 8). */
function encodeQ4(values: Float32Array): Uint8Array {
  const blocks = values.length / 32;
  const out = new Uint8Array(blocks * 18);
  const scales = new Float32Array(blocks);
  for (let b = 0; b < blocks; b++) {
    let [most, value] = [0, 0];
    for (let i = 32 * b; i < 32 * b + 32; i++)
      if (Math.abs(values[i]) > most) {
        most = Math.abs(values[i]);
        value = values[i];
      }
    const d = fround(value / -8);
    const inverse = d ? fround(1 / d) : 0;
    scales[b] = d;
    const quant = (i: number): number => Math.min(15, Math.trunc(fround(fround(values[32 * b + i] * inverse) + 8.5)));
    for (let j = 0; j < 16; j++) out[18 * b + 2 + j] = quant(j) | (quant(j + 16) << 4);
  }
  placeHalves(out, scales, 18, 0);
  return out;
}

/** f16 d = (max - min) / 15, f16 m = min; 16 bytes of q = trunc((x - m) / d + 0.5), at most 15. Value d q + m. */
function encodeQ4WithMinimum(values: Float32Array): Uint8Array {
  const blocks = values.length / 32;
  const out = new Uint8Array(blocks * 20);
  const [scales, minima] = [new Float32Array(blocks), new Float32Array(blocks)];
  for (let b = 0; b < blocks; b++) {
    let [min, max] = [Infinity, -Infinity];
    for (let i = 32 * b; i < 32 * b + 32; i++) {
      min = Math.min(min, values[i]);
      max = Math.max(max, values[i]);
    }
    const d = fround(fround(max - min) / 15);
    const inverse = d ? fround(1 / d) : 0;
    [scales[b], minima[b]] = [d, min];
    const quant = (i: number): number =>
      Math.min(15, Math.trunc(fround(fround(fround(values[32 * b + i] - min) * inverse) + 0.5)));
    for (let j = 0; j < 16; j++) out[20 * b + 4 + j] = quant(j) | (quant(j + 16) << 4);
  }
  placeHalves(out, scales, 20, 0);
  placeHalves(out, minima, 20, 2);
  return out;
}

/** One float16 a block, at `offset` of it. */
function placeHalves(out: Uint8Array, values: Float32Array, blockBytes: number, offset: number): void {
  const halves = encodeFloats(values, 'float16');
  for (let b = 0; b < values.length; b++) {
    out[b * blockBytes + offset] = halves[2 * b];
    out[b * blockBytes + offset + 1] = halves[2 * b + 1];
  }
}

/**
 * The most that a stored value may be off by its format's own rounding, in a block (or a value) of largest magnitude
 * `most`.
 */
export function roundingBound(type: WrittenType, most: number): number {
  // The float16 of a scale is off by 2^-11 of itself, or by 2^-25 where it is subnormal; q multiplies that.
  const scale = (share: number, largest: number): number => most * (share + 2 ** -10) + largest * 2 ** -25;
  switch (type) {
    case 'F32':
      return 0;
    case 'F16':
      return most * 2 ** -11 + 2 ** -25;
    case 'BF16':
      return most * 2 ** -8;
    case 'Q8_0':
      return scale(0.5 / 127, 127);
    // q stops at 15, one step short of +max.
    case 'Q4_0':
      return scale(1 / 8, 8);
    // max - min is at most twice the largest magnitude.
    case 'Q4_1':
      return scale(1 / 15, 15) + 2 * most * 2 ** -11;
  }
}
