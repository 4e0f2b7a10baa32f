import { NotFiniteError, UserError } from './errors.js';
import { decodeFloats, encodeFloats } from './halfFloat.js';
import { bytesPerElement, type WeightDType } from './weight.js';

/**
 * The bits of the exponents in a word of one float, or two, and one more at the lowest of them: added, it carries into
 * the sign where all bits are set, which are the exponents of infinity and NaN.
 */
export const exponents: Readonly<Record<WeightDType, readonly [bits: number, one: number]>> = {
  float32: [0x7f800000, 0x00800000],
  float16: [0x7c007c00, 0x04000400],
  bfloat16: [0x7f807f80, 0x00800080],
};
const signs = 0x80008000;

/** The index of the first of these floats (little-endian `dtype`) that is NaN or infinite; -1 where none is. */
export function firstNotFinite(bytes: Uint8Array, dtype: WeightDType): number {
  if (bytes.byteOffset % 4 !== 0) return firstNotFinite(bytes.slice(), dtype);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  const rest = bytes.subarray(4 * words.length);
  if (!anyNotFinite(words, ...exponents[dtype]) && rest.length === 0) return -1;
  return decodeFloats(bytes, dtype).findIndex((value) => !Number.isFinite(value));
}

/** Eight words a turn and no branch: as fast as memory is read. */
function anyNotFinite(words: Int32Array, bits: number, one: number): boolean {
  let [a, b] = [0, 0];
  const even = words.length & ~7;
  for (let i = 0; i < even; i += 8) {
    a |= ((words[i] & bits) + one) | ((words[i + 1] & bits) + one);
    b |= ((words[i + 2] & bits) + one) | ((words[i + 3] & bits) + one);
    a |= ((words[i + 4] & bits) + one) | ((words[i + 5] & bits) + one);
    b |= ((words[i + 6] & bits) + one) | ((words[i + 7] & bits) + one);
  }
  for (let i = even; i < words.length; i++) a |= (words[i] & bits) + one;
  return ((a | b) & signs) !== 0;
}

/** Whether none is NaN or infinite. */
export function allFinite(values: Float32Array | Float64Array): boolean {
  if (values instanceof Float32Array)
    return firstNotFinite(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 'float32') < 0;
  return values.every((value) => value - value === 0);
}

/** The largest number of each type. */
const largest: Readonly<Record<WeightDType, number>> = {
  float32: 3.4028234663852886e38,
  float16: 65504,
  bfloat16: 3.3895313892515355e38,
};

/** A tensor's floats in another type. UserError where one is too large for it, NotFiniteError where it is no number. */
export function encodeFinite(values: Float32Array, dtype: WeightDType, tensor: string): Uint8Array {
  const bytes = encodeFloats(values, dtype);
  const at = firstNotFinite(bytes, dtype);
  if (at < 0) return bytes;
  const value = values[at];
  if (!Number.isFinite(value)) throw new NotFiniteError(`tensor ${tensor} holds ${value}`, { tensor });
  throw new UserError(`tensor ${tensor} holds ${value}, but ${dtype} ends at ${largest[dtype]}`, {
    hint: dtype === 'float16' ? 'bfloat16 and float32 reach further' : 'float32 reaches further',
  });
}

/** Rows that were read of a tensor, as they are. NotFiniteError with file and place where one holds no number. */
export function checkRead(bytes: Uint8Array, { path, tensor, dtype, shape, first }: TensorPart): void {
  const at = firstNotFinite(bytes, dtype);
  if (at < 0) return;
  const [value] = decodeFloats(bytes.slice(at * bytesPerElement[dtype], (at + 1) * bytesPerElement[dtype]), dtype);
  throw new NotFiniteError(
    `${path}: tensor ${tensor} holds ${value} at [${coordinates(first + at, shape).join(', ')}]`,
    { tensor },
    { hint: 'is the file damaged?' },
  );
}

/** Some floats of a tensor in a file, from the element `first` on. */
export interface TensorPart {
  readonly path: string;
  readonly tensor: string;
  readonly dtype: WeightDType;
  readonly shape: readonly number[];
  readonly first: number;
}

function coordinates(index: number, shape: readonly number[]): number[] {
  const found: number[] = [];
  for (const size of shape.toReversed()) {
    found.unshift(index % size);
    index = Math.floor(index / size);
  }
  return found;
}
