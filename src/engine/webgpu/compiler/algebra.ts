/** Elementwise expressions as WGSL. */
import { interpret, type Algebra, type Expression } from '../../expression.js';
import { literal, type Piece } from './kernel.js';

const infix =
  (sign: string) =>
  (a: string, b: string): string =>
    `(${a} ${sign} ${b})`;
const call =
  (name: string) =>
  (...values: string[]): string =>
    `${name}(${values.join(', ')})`;

const algebra: Algebra<string> = {
  constant: literal,
  add: infix('+'),
  subtract: infix('-'),
  multiply: infix('*'),
  divide: infix('/'),
  maximum: call('max'),
  minimum: call('min'),
  exp: call('exponential'),
  tanh: call('hyperbolicTangent'),
  sigmoid: call('sigmoid'),
  silu: call('silu'),
  gelu: call('gelu'),
  gelu_tanh: call('geluTanh'),
};

/** The expression with `x` and `y` for its inputs. It calls functions of `mathematics`. */
export const wgslOf = (expression: Expression, x = 'x', y = 'y'): string => interpret(expression, algebra, x, y);

/** c0, c1 ... as ((c0 z + c1) z + ...). */
const polynomial = (z: string, [first, ...rest]: readonly number[]): string =>
  rest.reduce((sum, coefficient) => `fma(${sum}, ${z}, ${literal(coefficient)})`, literal(first));

/** Cephes `expf` (Moshier): exp(r) for |r| <= ln(2) / 2. */
const expSeries = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1,
];
/** Cephes `tanhf` (Moshier): (tanh(x) - x) / x^3 as a polynomial in x^2, for |x| < 0.625. */
const tanhSeries = [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1];
/**
 * e^(z^2) erfc(z) / 2t, a polynomial in t = 1 / (1 + z / 2), within 4.5e-8 of it relatively for all z >= 0, in the form
 * of Hastings (Abramowitz and Stegun, 7.1.26).
 */
const erfcSeries = [
  -0.0296815748, 0.143005492, -0.245087078, 0.140734918, -0.0144843973, 0.10183867, 0.12142693, 0.141204782,
  0.141042236,
];

/**
 * Functions of one float. WGSL's own `exp` may be off by 3 + 2 |x| units in the last place, and its `tanh` by more:
 * these are within 2 and 4. NaN stays NaN, which comparisons of floats alone would not promise.
 */
export const mathematics: Piece = {
  code: `
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

fn exponential(x: f32) -> f32 {
  let z = clamp(x, -104.0, 89.0);
  let n = round(z * ${literal(Math.LOG2E)});
  let r = fma(n, 2.1219444e-4, fma(n, -0.693359375, z)); // ln 2 in two parts (Cody and Waite, 1980)
  let mantissa = ${polynomial('r', expSeries)};
  // In two steps: 2^n alone may be too large or too small for a float.
  let half = i32(n) / 2;
  let power = bitcast<f32>((half + 127) << 23) ;
  let rest = bitcast<f32>((i32(n) - half + 127) << 23);
  return select(mantissa * power * rest, x, isNan(x));
}

fn sigmoid(x: f32) -> f32 { return 1.0 / (exponential(-x) + 1.0); }
fn silu(x: f32) -> f32 { return x / (exponential(-x) + 1.0); }

fn geluTanh(x: f32) -> f32 {
  let u = x * (${literal(-2 * Math.sqrt(2 / Math.PI))} + ${literal(-2 * 0.044715 * Math.sqrt(2 / Math.PI))} * x * x);
  return x / (exponential(u) + 1.0);
}

fn gelu(x: f32) -> f32 {
  let size = min(abs(x), 20.0);
  let t = 1.0 / fma(size, ${literal(Math.SQRT1_2 / 2)}, 1.0);
  let series = ${polynomial('t', erfcSeries)};
  let value = max(x, 0.0) - series * t * size * exponential(-0.5 * size * size);
  return select(value, x, isNan(x));
}

fn hyperbolicTangent(x: f32) -> f32 {
  let size = abs(x);
  let square = x * x;
  let near = fma(${polynomial('square', tanhSeries)} * square, x, x);
  let far = sign(x) * (1.0 - 2.0 / (exponential(2.0 * size) + 1.0));
  return select(select(far, near, size < 0.625), x, isNan(x));
}`,
};
