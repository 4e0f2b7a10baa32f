import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arraySource } from '../../../src/engine/arraySource.js';
import { UserError } from '../../../src/engine/errors.js';
import { float16ToFloat32 } from '../../../src/engine/halfFloat.js';
import { dequantizeRows, type Int4Format, type Int4Rows } from '../../../src/engine/int4.js';
import { int4Format, quantizeRows, rtn } from '../../../src/quant/index.js';
import { int4Matrix } from '../../support/int4Matrix.js';

const format = fc.record({
  groupSize: fc.constantFrom(32, 64, 128),
  zeroPoints: fc.boolean(),
}) as fc.Arbitrary<Int4Format>;

const matrix = int4Matrix(14);

const groupOf = (index: number, width: number, { groupSize }: Int4Format): number =>
  Math.floor(index / width) * Math.ceil(width / groupSize) + Math.floor((index % width) / groupSize);

const integers = ({ quants }: Int4Rows, width: number): number[] => {
  const rowBytes = Math.ceil(width / 2);
  return Array.from({ length: (quants.length / rowBytes) * width }, (_, i) => {
    const byte = quants[Math.floor(i / width) * rowBytes + ((i % width) >> 1)];
    return (i % width) % 2 === 0 ? byte & 15 : byte >> 4;
  });
};

/** Indices of what should not be. */
const where = (values: Float32Array, wrong: (value: number, index: number) => boolean): number[] =>
  [...values.keys()].filter((i) => wrong(values[i], i));

const check = (name: string, test: (values: Float32Array, width: number, format: Int4Format) => void): void =>
  it(name, () =>
    fc.assert(
      fc.property(matrix, format, ({ values, width }, format) => test(values, width, format)),
      { numRuns: 200 },
    ),
  );

describe('rounding to nearest', () => {
  check('every weight is within half a scale', (values, width, format) => {
    const rows = quantizeRows(values, width, format, 'w');
    const back = dequantizeRows(rows, width, format);
    expect(
      where(
        values,
        (value, i) => Math.abs(back[i] - value) > float16ToFloat32(rows.scales[groupOf(i, width, format)]) / 2,
      ),
    ).toEqual([]);
  });

  check('the scale is the least float16 that reaches all weights', (values, width, format) => {
    const rows = quantizeRows(values, width, format, 'w');
    rows.scales.forEach((half, group) => {
      const of = [...values].filter((_, i) => groupOf(i, width, format) === group);
      const [low, high] = [Math.min(0, ...of), Math.max(0, ...of)];
      const needed = format.zeroPoints ? (high - low) / 15 : Math.max(-low, high) / 7;
      expect(float16ToFloat32(half)).toBeGreaterThanOrEqual(needed);
      if (half > 0) expect(float16ToFloat32(half - 1)).toBeLessThan(needed);
    });
  });

  check('zeros stay zeros', (values, width, format) => {
    const back = dequantizeRows(quantizeRows(values, width, format, 'w'), width, format);
    expect(where(values, (value, i) => value === 0 && back[i] !== 0)).toEqual([]);
  });

  check('order within a group is kept', (values, width, format) => {
    const q = integers(quantizeRows(values, width, format, 'w'), width);
    const group = (i: number): number => groupOf(i, width, format);
    const order = [...values.keys()].sort((a, b) => group(a) - group(b) || values[a] - values[b]);
    expect(order.filter((at, i) => i > 0 && group(order[i - 1]) === group(at) && q[at] < q[order[i - 1]])).toEqual([]);
  });

  check(
    'without zero points q is from 1 to 15, and the sign of a weight is that of its integer',
    (values, width, { groupSize }) => {
      const q = integers(quantizeRows(values, width, { groupSize, zeroPoints: false }, 'w'), width);
      expect(where(values, (value, i) => q[i] < 1 || (q[i] !== 8 && Math.sign(q[i] - 8) !== Math.sign(value)))).toEqual(
        [],
      );
    },
  );

  it('a row of 7 half-steps', () => {
    const { quants, scales } = quantizeRows(
      Float32Array.of(-7, 7, 3, -1, 0.4, 0.6),
      6,
      { groupSize: 32, zeroPoints: false },
      'w',
    );
    expect([...scales].map(float16ToFloat32)).toEqual([1]);
    expect([...quants]).toEqual([1 | (15 << 4), 11 | (7 << 4), 8 | (9 << 4)]);
  });

  it('an odd width leaves the last half-byte 0', () => {
    expect(quantizeRows(Float32Array.of(1, 1, 1), 3, { groupSize: 32, zeroPoints: false }, 'w').quants).toEqual(
      Uint8Array.of(0xff, 0x0f),
    );
  });

  it('zero points are integers from 0 to 15', () => {
    const all = (value: number) =>
      quantizeRows(new Float32Array(32).fill(value), 32, { groupSize: 32, zeroPoints: true }, 'w').zeros;
    expect([all(1), all(-1), all(0)]).toEqual([Uint8Array.of(0), Uint8Array.of(15), Uint8Array.of(0)]);
  });

  it.each([NaN, Infinity, -Infinity])('%s is refused with the tensor and the row', async (value) => {
    const source = arraySource(new Float32Array(4 * 40).fill(1).fill(value, 125, 126), [4, 40], {
      name: 'layers.3.up',
    });
    for (const symmetric of [true, false])
      await expect(rtn(source, { symmetric }).readInt4(1, 4)).rejects.toThrow(
        /tensor layers\.3\.up holds a value that is not finite, in row 3/,
      );
  });

  it('weights too large for a float16 scale are refused', async () => {
    const of = (value: number) =>
      rtn(arraySource(new Float32Array(32).fill(value), [1, 32], { name: 'w' })).readInt4(0, 1);
    expect((await of(7 * 65504)).scales).toEqual(Uint16Array.of(0x7bff));
    await expect(of(7.01 * 65504)).rejects.toThrow(UserError);
    await expect(of(3e38)).rejects.toThrow(/w reaches 3.*e\+38 in row 0.*65504/);
  });

  it('reads rows of any stored type where it is asked for them', async () => {
    const values = Float32Array.from({ length: 12 * 33 }, (_, i) => Math.sin(i));
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const source = rtn(arraySource(values, [3, 4, 33], { dtype, name: 'w' }), { groupSize: 32, symmetric: false });
      expect([source.shape, source.dtype, source.format]).toEqual([
        [3, 4, 33],
        'int4',
        { groupSize: 32, zeroPoints: true },
      ]);
      const [whole, part] = [await source.readInt4(0, 12), await source.readInt4(5, 7)];
      expect(part.quants).toEqual(whole.quants.slice(5 * 17, 7 * 17));
      expect(part.scales).toEqual(whole.scales.slice(10, 14));
      expect(part.zeros).toEqual(whole.zeros!.slice(10, 14));
    }
  });

  it('a group size that is not supported is refused', () => {
    expect(() => int4Format({ groupSize: 48 as 32 })).toThrow(/48 .* not supported/);
  });
});
