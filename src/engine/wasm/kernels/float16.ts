import type { Code } from '../compiler/assembler.js';
import { kernel, kernelModule, type Kernel } from '../compiler/kernel.js';
import { choose, constant, load, Value, type Int } from '../compiler/language.js';

/**
 * The exponent biases of float16 and float32 differ by 112. So a float16 whose bits are only moved to where a float32
 * has them is too small by this factor.
 */
export const halfUnit = 2 ** 112;

/** float32 to float16 bits, one or four, to nearest, ties to even; overflows to infinity. */
export function toHalf<K extends 'f32' | 'f32x4'>(
  k: Kernel,
  value: Value<K>,
): Value<K extends 'f32' ? 'i32' : 'i32x4'> {
  const bits = k.let(value.bits() as Int);
  const magnitude = k.let(bits.and(0x7fffffff));
  const normal = magnitude.plus(0xfff).plus(magnitude.shiftRight(13).and(1)).minus(0x38000000).shiftRight(13);
  // Adding 0.5 lines a subnormal half's last bit up with the float's, so that the addition rounds.
  const subnormal = magnitude.asFloat().plus(0.5).bits().minus(0x3f000000);
  const special = choose(magnitude.greater(0x7f800000), constant(magnitude.kind, 0x7e00), 0x7c00);
  const half = choose(magnitude.less(0x38800000), subnormal, choose(magnitude.less(0x47800000), normal, special));
  return half.or(bits.shiftRight(16).and(0x8000)) as Value<K extends 'f32' ? 'i32' : 'i32x4'>;
}

/** Four float16 from `toHalf`, one behind another. */
export function storeHalves(k: Kernel, address: Int, halves: Value<'i32x4'>): void {
  const narrow = new Value('f64x2', (code: Code) => {
    halves.emit(code);
    halves.emit(code);
    code.op('i16x8.narrow_i32x4_u');
  });
  k.store(address, narrow.lane(0));
}

/** Four float16 as float32. */
function fromHalf(k: Kernel, halves: Value<'i32x4'>): Value<'f32x4'> {
  const bits = k.let(halves);
  // Exact, also for subnormal halves.
  const scaled = k.let(bits.and(0x7fff).shiftLeft(13).asFloat().times(halfUnit));
  const infinite = scaled.atLeast(65536).and(0x7f800000);
  return scaled.bits().or(infinite).or(bits.and(0x8000).shiftLeft(16)).asFloat();
}

/**
 * Reads four finite float16 as float32 divided by `halfUnit`, in three instructions: sign, exponent and mantissa are
 * moved to where a float32 has them, and the exponent keeps float16's bias. Exact, also for subnormal numbers; an
 * infinity would become a finite number. Declares a constant: call it before any loop.
 */
export function scaledHalves(k: Kernel): (address: Int, offset: number) => Value<'f32x4'> {
  // In a local: compilers would make the constant anew in each turn of a loop.
  const kept = k.let(constant('i32x4', 0x8fffe000 | 0));
  return (address, offset) => load.i16x4Signed(address, offset).shiftLeft(13).and(kept).asFloat();
}

/** 16-bit floats of key-value caches, to float32 and back. */
export const halfFloat = kernelModule('halfFloat', () => ({
  /** `count` is rounded up to 4: both sides have room. */
  widenFloat16: kernel({ source: 'i32', target: 'i32', count: 'i32' }, (k, { source, target, count }) =>
    k.for(0, count, 4, () => {
      k.store(target, fromHalf(k, load.i16x4(source)));
      source.add(8);
      target.add(16);
    }),
  ),
  /** Four at a time, the rest one by one; target in 2 bytes each. */
  narrowFloat16: kernel({ source: 'i32', target: 'i32', count: 'i32' }, (k, { source, target, count }) => {
    const rest = k.let(count.and(3));
    k.repeat(count.shiftRight(2), () => {
      storeHalves(k, target, k.let(toHalf(k, load.f32x4(source))));
      source.add(16);
      target.add(8);
    });
    k.repeat(rest, () => {
      k.store16(target, toHalf(k, load.f32(source)));
      source.add(4);
      target.add(2);
    });
  }),
}));
