/** Floats of 8 bits, by their bytes: 1 sign, then `exponent` and `mantissa` bits (Micikevicius et al., 2022). */
function table(exponent: number, mantissa: number, special: (bits: number) => number | undefined): Float32Array {
  const bias = 2 ** (exponent - 1) - 1;
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const bits = byte & 127;
    const [power, fraction] = [bits >> mantissa, (bits & ((1 << mantissa) - 1)) / 2 ** mantissa];
    const finite = power === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (power - bias);
    return (byte & 128 ? -1 : 1) * (special(bits) ?? finite);
  });
}

/** Without infinities: all ones but the sign is NaN, and the largest value 448. */
export const float8e4m3 = table(4, 3, (bits) => (bits === 127 ? NaN : undefined));

/** As float16, cut off: the largest power is infinity, or NaN with a fraction. */
export const float8e5m2 = table(5, 2, (bits) => (bits < 124 ? undefined : bits === 124 ? Infinity : NaN));

export const int8 = Float32Array.from({ length: 256 }, (_, byte) => (byte << 24) >> 24);
