import { ShapeError, type Shape } from './errors.js';
import { encodeFloats } from './halfFloat.js';
import { sizeOf } from './tensor.js';
import { bytesPerElement, type WeightDType, type WeightSource } from './weight.js';

/** A weight source over values in memory, stored as `dtype`. */
export function arraySource(
  values: Float32Array,
  shape: Shape,
  o: { name?: string; dtype?: WeightDType } = {},
): WeightSource {
  const { name = 'array', dtype = 'float32' } = o;
  if (sizeOf(shape) !== values.length)
    throw new ShapeError('arraySource', { [name]: shape }, `${values.length} values were given`);
  const bytes = encodeFloats(values, dtype);
  const rowBytes = shape[shape.length - 1] * bytesPerElement[dtype];
  return { name, shape, dtype, readRows: async (start, end) => bytes.subarray(start * rowBytes, end * rowBytes) };
}
