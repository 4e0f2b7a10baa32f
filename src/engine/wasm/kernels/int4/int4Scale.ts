import type { Kernel } from '../../compiler/kernel.js';
import { constant, load, Value, type Int } from '../../compiler/language.js';
import { halfUnit, scaledHalves } from '../float16.js';
import { widenHigh, widenLow, type Ints } from './nibbleDots.js';

/** Four finite float16 at an address, subnormal ones too, as float32. Declare it before any loop, as it has constants. */
export function halfScales(k: Kernel): (address: Int, offset?: number) => Value<'f32x4'> {
  const read = scaledHalves(k);
  const unit = k.let(constant('f32x4', halfUnit));
  return (address, offset = 0) => read(address, offset).times(unit);
}

/** One of them. */
export function halfScale(k: Kernel, address: Int): Value<'f32'> {
  const half = k.let(load.i16(address));
  return half.and(0x7fff).shiftLeft(13).or(half.and(0x8000).shiftLeft(16)).asFloat().times(halfUnit);
}

/** The zero points of 8 rows, a byte each, as two vectors. */
export function zeroPoints(k: Kernel, address: Int, offset = 0): [Ints, Ints] {
  const pairs = k.let(new Value('i32x4', (code) => (address.emit(code), code.memory('v128.load8x8_u', offset))));
  return [widenLow(pairs), widenHigh(pairs)];
}

/** One integer in all four lanes. */
export const splatInt = (address: Int, offset = 0): Ints => load.f32Splat(address, offset).bits();

export const zeros = (): Ints => constant('i32x4', 0);

/** Sum of a group's products as the float it stands for: sum * (x's scale * the weight's). */
export const scaled = (sum: Ints, x: Value<'f32x4'>, weight: Value<'f32x4'>): Value<'f32x4'> =>
  sum.toFloat().times(x.times(weight)) as Value<'f32x4'>;
