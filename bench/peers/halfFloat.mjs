// 16-bit floats, for files that Node 20 has no Float16Array for.

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** float32 -> float16 bits, rounded to nearest, ties to even. */
export function toHalf(value) {
  float[0] = value;
  const x = bits[0];
  const sign = (x >>> 16) & 0x8000;
  const exponent = (x >>> 23) & 0xff;
  const mantissa = x & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa ? 0x200 : 0);
  if (exponent > 142) return sign | 0x7c00;
  if (exponent < 102) return sign;
  if (exponent < 113) {
    const shift = 126 - exponent;
    const full = mantissa | 0x800000;
    return sign | roundShift(full, shift);
  }
  return sign + roundShift(((exponent - 112) << 23) | mantissa, 13);
}

const roundShift = (x, shift) => {
  const half = 2 ** (shift - 1);
  const low = x & (2 ** shift - 1);
  const high = x >>> shift;
  return low > half || (low === half && high & 1) ? high + 1 : high;
};

/** float16 bits -> number. */
export function fromHalf(half) {
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  const size = exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return half & 0x8000 ? -size : size;
}

/** float32 -> bfloat16 bits, rounded to nearest, ties to even. */
export function toBfloat(value) {
  float[0] = value;
  return ((bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Rows of a tensor's bytes as float32. */
export function decode(bytes, dtype) {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'F32') return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const halves = new Uint16Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const values = new Float32Array(halves.length);
  if (dtype === 'BF16') {
    const words = new Uint32Array(values.buffer);
    for (let i = 0; i < halves.length; i++) words[i] = halves[i] << 16;
  } else for (let i = 0; i < halves.length; i++) values[i] = fromHalf(halves[i]);
  return values;
}
