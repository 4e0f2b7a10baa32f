import { NotFiniteError, UserError, float16ToFloat32, float32ToFloat16 } from '../engine/index.js';

/** The least and greatest of [from, to) and 0; NaN where one is. */
export function rangeWithZero(values: Float32Array, from: number, to: number): [number, number] {
  let [low, high] = [0, 0];
  for (let i = from; i < to; i++) {
    const value = values[i];
    if (value < low) low = value;
    else if (value > high) high = value;
    else if (value !== value) return [NaN, NaN];
  }
  return [low, high];
}

/** The least float16 that is not below a value from 0 up; infinite where there is none. */
export function roundUpToFloat16(value: number): number {
  const half = float32ToFloat16(value);
  return float16ToFloat32(half) < value ? half + 1 : half;
}

/** The range [low, high] can be divided into steps of a float16, or what is wrong with the row, by name. */
export function checkRange(low: number, high: number, step: number, name: string, row: number): void {
  const most = Math.max(-low, high);
  if (!(most < Infinity))
    throw new NotFiniteError(`tensor ${name} holds a value that is not finite, in row ${row}`, { tensor: name });
  if (step === Infinity)
    throw new UserError(
      `tensor ${name} reaches ${most} in row ${row}: the scale of its integers is more than float16 holds (65504)`,
    );
}
