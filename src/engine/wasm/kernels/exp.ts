import type { Kernel } from '../compiler/kernel.js';
import { constant, multiplyAddIf, splat, type Float, type Value } from '../compiler/language.js';

const log2e = Math.LOG2E;
/** ln 2 in two parts, the first exact in few bits, so that n ln 2 is subtracted without rounding (Cody and Waite, 1980). */
const ln2High = 0.693359375;
const ln2Low = -2.1219444e-4;
/** 1.5 * 2^23: added to a small number it leaves the nearest integer in the lowest bits. */
export const toInteger = 12582912;
/** The same, plus float32's bias of exponents. */
const magic = toInteger + 127;
/** Cephes `expf` (Moshier): (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2. */
const coefficients = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
];
/** -127 ln 2: from here down, the exponent bits come out as 0, and so does the result. */
const smallest = -127 * Math.LN2;
/** Above it, the power of two would be infinite. */
const largest = 88.376;

/** e^x for one float or four. */
export type Exponential = (x: Float) => Float;

/**
 * e^x within 2 ulp where it is a normal number (from -87.336 on), 0 below -87.69 and subnormal in between, e^88.376 =
 * 2.4e38 for all larger x, NaN for NaN. One float gives the same bits as four. Declares constants, which compilers
 * would make anew in each turn of a loop: call it before any loop.
 */
export function exponential(k: Kernel, fused: boolean): Exponential {
  const sumUp = multiplyAddIf(fused);
  const keep = (value: number): Value<'f32x4'> => k.let(constant('f32x4', value));
  const [scale, offset, high, low, one] = [log2e, magic, -ln2High, -ln2Low, 1].map(keep);
  const [least, most] = [smallest, largest].map(keep);
  // 1 + r + r^2 (...), from the last coefficient on.
  const [first, ...rest] = [...coefficients.map(keep), one, one];
  const ofFour = (x: Value<'f32x4'>): Value<'f32x4'> => {
    const clamped = k.let(x.orLarger(least).orSmaller(most));
    const shifted = k.let(sumUp(clamped, scale, offset));
    const n = k.let(shifted.minus(offset));
    const r = k.let(sumUp(n, low, sumUp(n, high, clamped)));
    const mantissa = rest.reduce((sum, coefficient) => sumUp(sum, r, coefficient), first);
    // The lowest nine bits are n plus the exponent's bias; the shift drops the others.
    return mantissa.times(shifted.bits().shiftLeft(23).asFloat());
  };
  return (x) => (x.kind === 'f32' ? ofFour(splat('f32x4', x as Value<'f32'>)).lane(0) : ofFour(x as Value<'f32x4'>));
}

/** 1 - 2 / (e^2x + 1): absolute error about 1e-7. */
export const tanh = (exp: Exponential, x: Float): Float =>
  constant(x.kind, 1).minus(constant(x.kind, 2).over(exp(x.times(2)).plus(1)));
