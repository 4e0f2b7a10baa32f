import {
  checkOptions,
  decodeFloats,
  float16ToFloat32,
  oneOf,
  type Int8Format,
  type Int8Rows,
  type Int8Source,
  type WeightSource,
} from '../engine/index.js';
import { isProjection, isTable, type Quantize } from '../models/index.js';
import { checkRange, rangeWithZero, roundUpToFloat16 } from './groupRange.js';
import { storedFloats, type FloatHead } from './storedFloats.js';

export interface Int8Options {
  /** What becomes of the embedding and the output projection; 'float' leaves them as they are stored. @defaultValue 'int8' */
  readonly head?: 'int8' | FloatHead;
}

const format: Int8Format = { groupSize: 32 };

/**
 * Round to nearest in groups of 32: scale = largest magnitude / 127, q from -127 to 127. The scale is rounded up to a
 * float16, so that `|w - scale * q| <= scale / 2` for every weight; zeros stay zeros.
 */
export function int8(source: WeightSource): Int8Source {
  const { name, shape, dtype } = source;
  const width = shape[shape.length - 1];
  const readInt8 = async (start: number, end: number): Promise<Int8Rows> =>
    roundRows(decodeFloats(await source.readRows(start, end), dtype), width, name, start);
  return { name, shape, dtype: 'int8', format, readInt8 };
}

/** Rows of floats [rows, width]; `name` and `firstRow` are for messages. */
function roundRows(values: Float32Array, width: number, name: string, firstRow: number): Int8Rows {
  const groups = Math.ceil(width / format.groupSize);
  const rows = values.length / width;
  const quants = new Int8Array(values.length);
  const scales = new Uint16Array(rows * groups);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++) {
      const from = row * width + group * format.groupSize;
      const to = Math.min((row + 1) * width, from + format.groupSize);
      const [low, high] = rangeWithZero(values, from, to);
      const half = roundUpToFloat16(Math.max(-low, high) / 127);
      const scale = float16ToFloat32(half);
      checkRange(low, high, scale, name, firstRow + row);
      scales[row * groups + group] = half;
      const inverse = scale === 0 ? 0 : 1 / scale;
      for (let i = from; i < to; i++) quants[i] = Math.round(values[i] * inverse);
    }
  return { quants, scales };
}

/** The hook by which `loadModel` and `createModel` hold a model's matrices in int8; norms, biases and routers stay floats. */
export function int8Quantizer(options: Int8Options = {}): Quantize {
  checkOptions(options, { head: oneOf(['int8', 'bf16', 'float']) });
  const { head = 'int8' } = options;
  return (source, spec) => {
    const stored = isTable(spec) ? head : isProjection(spec) ? 'int8' : 'float';
    return stored === 'int8' ? int8(source) : storedFloats(source, stored);
  };
}
