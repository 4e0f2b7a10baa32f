import type { WeightDType } from './weight.js';

/** 16-bit floats, decoded and encoded without `Float16Array`, which Node 20 lacks. */

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

export function float16ToFloat32(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** Rounds to nearest, ties to even; overflows to infinity. */
export function float32ToFloat16(value: number): number {
  float[0] = value;
  const sign = (bits[0] >>> 16) & 0x8000;
  const magnitude = bits[0] & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | roundHalfToEven(Math.abs(float[0]) * 2 ** 24);
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Rounds to nearest, ties to even. */
export function float32ToBfloat16(value: number): number {
  float[0] = value;
  if (Number.isNaN(value)) return (bits[0] >>> 16) | 0x40;
  return (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) >>> 16;
}

let halves: Uint32Array | undefined;

/** All float16 values as float32 bits: a table look-up decodes a large weight quickly. */
function halfTable(): Uint32Array {
  if (!halves) {
    halves = new Uint32Array(65536);
    for (let half = 0; half < 65536; half++) {
      float[0] = float16ToFloat32(half);
      halves[half] = bits[0];
    }
  }
  return halves;
}

/** Decodes little-endian weights into `into` (default: a new array). */
export function decodeFloats(bytes: Uint8Array, dtype: WeightDType, into?: Float32Array): Float32Array {
  const width = dtype === 'float32' ? 4 : 2;
  const count = bytes.byteLength / width;
  const out = into ?? new Float32Array(count);
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  if (dtype === 'float32') {
    out.set(new Float32Array(aligned.buffer, aligned.byteOffset, count));
    return out;
  }
  const words = new Uint16Array(aligned.buffer, aligned.byteOffset, count);
  const target = new Uint32Array(out.buffer, out.byteOffset, count);
  if (dtype === 'bfloat16') for (let i = 0; i < count; i++) target[i] = words[i] << 16;
  else {
    const table = halfTable();
    for (let i = 0; i < count; i++) target[i] = table[words[i]];
  }
  return out;
}

/** Encodes to little-endian bytes of `dtype`. */
export function encodeFloats(values: Float32Array, dtype: WeightDType): Uint8Array {
  if (dtype === 'float32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  const encode = dtype === 'bfloat16' ? float32ToBfloat16 : float32ToFloat16;
  // `Uint16Array.from` makes an array of all numbers first.
  const words = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) words[i] = encode(values[i]);
  return new Uint8Array(words.buffer);
}
