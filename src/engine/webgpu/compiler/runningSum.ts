import type { Piece } from './kernel.js';

/**
 * Adds to `sums[index]`, a pair of floats: a sum and what rounding took from it so far (two-sum; Knuth, The Art of
 * Computer Programming 2, 4.2.2). Their total is as good as a float64 for many additions. A compiler that reorders
 * additions would take the second for 0, so it is not shown that they are additions of the same numbers: `zero` is.
 */
export const runningSum: Piece = {
  code: `
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ numbers.zero); }
fn addTo(index: u32, value: f32) {
  let old = sums[index];
  let total = opaque(old.x + value);
  let part = opaque(total - old.x);
  let lost = (old.x - opaque(total - part)) + (value - part);
  sums[index] = vec2f(total, old.y + lost);
}`,
};
