import { dequantized, type Int4Source } from './int4.js';
import { dequantizedInt8, type Int8Source } from './int8.js';
import type { WeightSource } from './weight.js';

/** What a weight can be packed from: floats, or integers in groups along a row. */
export type Packable = WeightSource | Int4Source | Int8Source;

/** The same as floats, for who has no kernels for integers. */
export function asFloats(source: Packable): WeightSource {
  if (source.dtype === 'int4') return dequantized(source);
  return source.dtype === 'int8' ? dequantizedInt8(source) : source;
}
