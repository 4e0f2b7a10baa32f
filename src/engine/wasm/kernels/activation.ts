/** Functions of one float or four that expressions are made of. Each declares its constants: make it before any loop. */
import type { Kernel } from '../compiler/kernel.js';
import { choose, constant, multiplyAddIf, splat, type Float, type Value } from '../compiler/language.js';
import type { Exponential } from './exp.js';

type Four = Value<'f32x4'>;

/** One float is computed as four are. */
const onFours =
  (f: (x: Four) => Four) =>
  (x: Float): Float =>
    x.kind === 'f32' ? f(splat('f32x4', x as Value<'f32'>)).lane(0) : f(x as Four);

export const sigmoid = (exp: Exponential, x: Float): Float => constant(x.kind, 1).over(exp(x.negated()).plus(1));

/** x sigmoid(x), x a local. */
export const silu = (exp: Exponential, x: Float): Float => x.over(exp(x.negated()).plus(1));

/** x (1 + tanh(u)) / 2 = x sigmoid(2 u) for u = sqrt(2 / pi) (x + 0.044715 x^3), x a local. */
export function geluTanh(exp: Exponential, x: Float): Float {
  const slope = -2 * Math.sqrt(2 / Math.PI);
  return x.over(
    exp(
      x
        .squared()
        .times(0.044715 * slope)
        .plus(slope)
        .times(x),
    ).plus(1),
  );
}

/**
 * e^(z^2) erfc(z) / 2t, a polynomial in t = 1 / (1 + z / 2), within 4.5e-8 of it relatively for all z >= 0. The form is
 * that of Hastings (Abramowitz and Stegun, 7.1.26), for which these coefficients are the best of their number (Lawson's
 * iteration over 4500 places).
 */
const erfcOverExp = [
  -0.0296815748, 0.143005492, -0.245087078, 0.140734918, -0.0144843973, 0.10183867, 0.12142693, 0.141204782,
  0.141042236,
];

/** From here on nothing but x, or 0, is left of it. */
const farOut = 20;

/** x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2, within 4 * 2^-24 of |x|; the tail of negative x keeps its digits. */
export function gelu(k: Kernel, exp: Exponential, fused: boolean): (x: Float) => Float {
  const sumUp = multiplyAddIf(fused);
  const keep = (value: number): Four => k.let(constant('f32x4', value));
  const [first, ...rest] = erfcOverExp.map(keep);
  const [one, slope] = [1, Math.SQRT1_2 / 2].map(keep);
  return onFours((value) => {
    const x = k.let(value);
    const size = k.let(x.orLarger(x.negated()).orSmaller(farOut));
    const t = k.let(one.over(sumUp(size, slope, one)));
    const series = rest.reduce((sum, coefficient) => sumUp(sum, t, coefficient), first);
    const power = exp(size.squared().times(-0.5)) as Four;
    return x.orLarger(0).minus(series.times(t).times(size).times(power));
  });
}

/** Cephes `tanhf` (Moshier): (tanh(x) - x) / x^3 as a polynomial in x^2, for |x| < 0.625. */
const tanhSeries = [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1];
const smallTanh = 0.625;

/** tanh(x) within 4 ulp, also near 0, where 1 - 2 / (e^2x + 1) has no digits left. */
export function tanh(k: Kernel, exp: Exponential, fused: boolean): (x: Float) => Float {
  const sumUp = multiplyAddIf(fused);
  const [first, ...rest] = tanhSeries.map((value): Four => k.let(constant('f32x4', value)));
  return onFours((value) => {
    const x = k.let(value);
    const size = k.let(x.orLarger(x.negated()));
    const square = k.let(x.squared());
    const series = rest.reduce((sum, coefficient) => sumUp(sum, square, coefficient), first);
    const near = sumUp(series.times(square), x, x);
    const far = constant('f32x4', 1).minus(constant('f32x4', 2).over((exp(size.times(2)) as Four).plus(1)));
    const sign = x.bits().and(1 << 31);
    return choose(size.less(smallTanh), near, far.bits().or(sign).asFloat());
  });
}
