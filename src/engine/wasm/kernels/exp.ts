import { choose, constant, type Float, type Value } from '../language.js';
import { kernel, kernelModule, type Kernel } from '../kernel.js';
import { each } from '../loops.js';

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
/** Between these, 2^n is a normal number. */
const smallest = -87.336;
const largest = 88.376;

/** e^x for one float or four. */
export type Exponential = (x: Float) => Float;

/**
 * e^x within 2 ulp; 0 below -87.336 (where it is not a normal number), e^88.376 = 2.4e38 for all that is larger, NaN for NaN.
 * Declares its constants, as compilers would make them anew in each turn of a loop: call it before any.
 */
export function exponential(k: Kernel): Exponential {
  const known = new Map<number, Value<'f32x4'>>();
  const keep = (value: number): void => void known.set(value, k.let(constant('f32x4', value)));
  [log2e, magic, ln2High, ln2Low, ...coefficients, 1, smallest, largest].forEach(keep);
  return (value) => {
    const x = k.let(value);
    const of = (c: number): Float => (x.kind === 'f32' ? constant('f32', c) : known.get(c)!);
    const clamped = k.let(x.orLarger(of(smallest)).orSmaller(of(largest)));
    const shifted = k.let(clamped.times(of(log2e)).plus(of(magic)));
    const n = k.let(shifted.minus(of(magic)));
    const r = k.let(clamped.minus(n.times(of(ln2High))).minus(n.times(of(ln2Low))));
    const [first, ...rest] = coefficients;
    const series = rest.reduce((sum: Float, c) => sum.times(r).plus(of(c)), of(first));
    const mantissa = series.times(r.squared()).plus(r).plus(of(1));
    // The lowest nine bits are n plus the exponent's bias; the shift drops the others.
    const power = shifted.bits().shiftLeft(23).asFloat();
    return choose(x.less(of(smallest)), constant(x.kind, 0), mantissa.times(power));
  };
}

/** 1 - 2 / (e^2x + 1): absolute error about 1e-7. */
export const tanh = (exp: Exponential, x: Float): Float =>
  constant(x.kind, 1).minus(constant(x.kind, 2).over(exp(x.times(2)).plus(1)));

export const exponentials = kernelModule('exp', () => ({
  /** y = e^x, `count` floats. */
  exp: kernel({ x: 'i32', y: 'i32', count: 'i32' }, (k, { x, y, count }) => {
    const exp = exponential(k);
    each(k, count, [x, y], (from, to) => to.store(exp(from.load())));
  }),
}));
