import type { Piece } from './kernel.js';

/** float16 as bits: WGSL's own packing rounds as the driver likes, and leaves open what becomes of what is too large. */
export const halves: Piece = {
  code: `
/** To nearest, ties to even; infinity from 65520 on. */
fn halfBits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x477ff000u) { return sign | 0x7c00u; }
  if (size < 0x38800000u) { return sign | u32(round(abs(x) * 16777216.0)); }
  return sign | ((size + 0xfffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u);
}
fn twoHalves(a: f32, b: f32) -> u32 { return halfBits(a) | (halfBits(b) << 16u); }

/** The same in words of two, by integers alone: no driver takes the smallest ones for 0. */
fn floatOf(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let size = half & 0x7fffu;
  let normal = select((size << 13u) + 0x38000000u, (size << 13u) + 0x70000000u, size >= 0x7c00u);
  let subnormal = bitcast<u32>(f32(size) * ${2 ** -24});
  return bitcast<f32>(sign | select(normal, subnormal, size < 0x400u));
}
fn floatsOf(word: u32) -> vec2f { return vec2f(floatOf(word & 0xffffu), floatOf(word >> 16u)); }`,
};
