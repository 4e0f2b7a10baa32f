import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  NotFiniteError,
  UserError,
  allFinite,
  checkRead,
  decodeFloats,
  encodeFinite,
  encodeFloats,
  firstNotFinite,
  type WeightDType,
} from '../../../src/engine/index.js';

const dtypes: readonly WeightDType[] = ['float32', 'float16', 'bfloat16'];
/** Any bits, with those of infinity and NaN, and the numbers beside them, more often than by chance. */
const words = fc.oneof(
  fc.nat(0xffff),
  fc.constantFrom(0x7c00, 0xfc00, 0x7e01, 0x7bff, 0x7f80, 0xff80, 0x7fc0, 0x7f7f, 0x7fff),
);

describe('what is not finite', () => {
  it.each(dtypes)('is found among any %s, at any place and length', (dtype) => {
    fc.assert(
      fc.property(fc.array(words, { maxLength: 60 }), fc.constantFrom(0, 2, 4, 6), (halves, offset) => {
        const even = dtype === 'float32' ? halves.slice(0, halves.length & ~1) : halves;
        const buffer = new Uint8Array(offset + 2 * even.length);
        const bytes = buffer.subarray(offset);
        bytes.set(new Uint8Array(Uint16Array.from(even).buffer));
        const expected = decodeFloats(bytes.slice(), dtype).findIndex((value) => !Number.isFinite(value));
        expect(firstNotFinite(bytes, dtype)).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  it.each(dtypes)('is found wherever it is in long rows of %s', (dtype) => {
    fc.assert(
      fc.property(fc.nat(299), fc.constantFrom(NaN, Infinity, -Infinity), (at, value) => {
        const values = Float32Array.from({ length: 300 }, (_, i) => i - 150);
        expect(allFinite(values)).toBe(true);
        values[at] = value;
        expect(firstNotFinite(encodeFloats(values, dtype), dtype)).toBe(at);
        expect(allFinite(values)).toBe(false);
        expect(allFinite(Float64Array.from(values))).toBe(false);
      }),
    );
  });

  it('is named with file, tensor and place', () => {
    const bytes = encodeFloats(Float32Array.of(1, 2, 3, 4, -Infinity, 6), 'float16');
    const part = { path: 'm.safetensors', tensor: 'a', shape: [5, 2, 3], first: 12 } as const;
    const check = (): void => checkRead(bytes, { ...part, dtype: 'float16' });
    expect(check).toThrow(NotFiniteError);
    expect(check).toThrow('m.safetensors: tensor a holds -Infinity at [2, 1, 1]');
  });
});

describe('floats in a type that does not reach them', () => {
  it.each<[WeightDType, number, number]>([
    ['float16', 65519, 65520],
    ['bfloat16', 3.39e38, 3.4e38],
  ])('are refused with the type: %s', (dtype, most, more) => {
    expect(allFinite(decodeFloats(encodeFinite(Float32Array.of(most, -most), dtype, 'a'), dtype))).toBe(true);
    const encode = (value: number) => (): unknown => encodeFinite(Float32Array.of(1, value), dtype, 'a');
    expect(encode(more)).toThrow(UserError);
    expect(encode(more)).not.toThrow(NotFiniteError);
    expect(encode(-more)).toThrow(new RegExp(`tensor a holds -\\d.*, but ${dtype} ends at \\d`));
    expect(encode(NaN)).toThrow(NotFiniteError);
  });
});
