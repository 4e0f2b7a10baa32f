import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NotFiniteError, arraySource, float16ToFloat32, readInt8Rows } from '../../../src/engine/index.js';
import { int8, int8Quantizer } from '../../../src/quant/index.js';
import { int4Matrix } from '../../support/int4Matrix.js';

const sourceOf = (values: Float32Array, width: number) =>
  arraySource(values, [values.length / width, width], { name: 'w' });

describe('rounding to 8 bits', () => {
  it('is to the nearest, with the largest magnitude at 127 or, for a float16 above it, little less', () =>
    fc.assert(
      // 65504 x 127 is below 2^23; outliers are 16 times as large.
      fc.asyncProperty(int4Matrix(18), async ({ width, values }) => {
        const source = int8(sourceOf(values, width));
        const rows = values.length / width;
        const { quants, scales } = await readInt8Rows(source, 0, rows);
        const groups = Math.ceil(width / 32);
        for (const [i, value] of values.entries()) {
          const scale = float16ToFloat32(scales[Math.floor(i / width) * groups + Math.floor((i % width) / 32)]);
          expect(Math.abs(value - scale * quants[i])).toBeLessThanOrEqual(scale * 0.5 * (1 + 2 ** -20));
          if (value === 0) expect(Math.abs(quants[i])).toBe(0);
          expect(Math.abs(quants[i])).toBeLessThanOrEqual(127);
        }
        const last = await readInt8Rows(source, rows - 1, rows);
        expect(last).toEqual({
          quants: quants.slice((rows - 1) * width),
          scales: scales.slice((rows - 1) * groups),
        });
      }),
    ));

  it('refuses by name what is not finite, and what no scale reaches', async () => {
    const withValue = (value: number) => int8(sourceOf(new Float32Array(80).fill(value, 50, 51), 40)).readInt8(0, 2);
    await expect(withValue(NaN)).rejects.toThrow(NotFiniteError);
    await expect(withValue(-Infinity)).rejects.toThrow(/tensor w holds a value that is not finite, in row 1/);
    await expect(withValue(1e7)).rejects.toThrow(/tensor w reaches 10000000 in row 1: the scale of its integers/);
  });

  it('refuses another head', () =>
    expect(() => int8Quantizer({ head: 'int4' as 'int8' })).toThrow(/`head` must be one of int8, bf16, float/));
});
