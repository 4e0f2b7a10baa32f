import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError, arraySource, dequantizeRows, float16ToFloat32, groupsOf } from '../../../src/engine/index.js';
import {
  fitGrid,
  groupQuantized,
  roundToGrid,
  snapToGrid,
  storedFormat,
  type GroupOptions,
} from '../../../src/quant/index.js';
import { random } from '../../support/backends.js';
import { int4Matrix } from '../../support/int4Matrix.js';

const options = fc.record({
  groupSize: fc.constantFrom(32, 64, 128, -1),
  symmetric: fc.boolean(),
  range: fc.constantFrom('sevenths', 'full'),
}) as fc.Arbitrary<GroupOptions>;

const matrix = int4Matrix(12);

const back = (values: Float32Array, width: number, o: GroupOptions): Float32Array =>
  dequantizeRows(roundToGrid(values, width, fitGrid(values, width, o, 'w')), width, storedFormat(o));

/** Stored group of an element. */
const groupOf = (index: number, width: number, o: GroupOptions): number =>
  Math.floor(index / width) * groupsOf(width, storedFormat(o)) +
  Math.floor((index % width) / storedFormat(o).groupSize);

/** Indices of what should not be. */
const where = (values: Float32Array, wrong: (value: number, index: number) => boolean): number[] =>
  [...values.keys()].filter((i) => wrong(values[i], i));

const check = (name: string, test: (values: Float32Array, width: number, o: GroupOptions) => void): void =>
  it(name, () =>
    fc.assert(
      fc.property(matrix, options, ({ values, width }, o) => test(values, width, o)),
      { numRuns: 200 },
    ),
  );

describe('a group quantizer', () => {
  check('every weight is within half a scale, whatever the range', (values, width, o) => {
    const grid = fitGrid(values, width, o, 'w');
    const rounded = back(values, width, o);
    expect(where(values, (value, i) => Math.abs(rounded[i] - value) > grid.steps[groupOf(i, width, o)] / 2)).toEqual(
      [],
    );
  });

  check('the scale is the least float16 that its range needs', (values, width, o) => {
    const { scales } = fitGrid(values, width, o, 'w');
    const of = (group: number): number[] => {
      const first = o.groupSize === -1 ? Math.floor(group / groupsOf(width, storedFormat(o))) : group;
      return [...values].filter(
        (_, i) => (o.groupSize === -1 ? Math.floor(i / width) : groupOf(i, width, o)) === first,
      );
    };
    scales.forEach((half, group) => {
      const [low, high] = [Math.min(0, ...of(group)), Math.max(0, ...of(group))];
      const needed = o.symmetric ? Math.max(-low, high) / (o.range === 'full' ? 7.5 : 7) : (high - low) / 15;
      expect(float16ToFloat32(half)).toBeGreaterThanOrEqual(needed);
      if (half > 0) expect(float16ToFloat32(half - 1)).toBeLessThan(needed);
    });
  });

  check('zeros stay zeros, and order within a group is kept', (values, width, o) => {
    for (const clip of ['none', 'search'] as const) {
      const rounded = back(values, width, { ...o, clip });
      expect(where(values, (value, i) => value === 0 && rounded[i] !== 0)).toEqual([]);
      const group = (i: number): number => groupOf(i, width, o);
      const order = [...values.keys()].sort((a, b) => group(a) - group(b) || values[a] - values[b]);
      const falls = order.filter(
        (at, i) => i > 0 && group(order[i - 1]) === group(at) && rounded[at] < rounded[order[i - 1]],
      );
      expect(falls).toEqual([]);
    }
  });

  check('a search of the clip never leaves a larger sum of squares', (values, width, o) => {
    const squares = (clip: 'none' | 'search'): number =>
      back(values, width, { ...o, clip }).reduce((sum, value, i) => sum + (value - values[i]) ** 2, 0);
    // Rounding of the sums.
    expect(squares('search')).toBeLessThanOrEqual(squares('none') * (1 + 1e-12));
  });

  check('snapping in place gives what packing and unpacking does', (values, width, o) => {
    const snapped = values.slice();
    snapToGrid(snapped, width, fitGrid(values, width, o, 'w'));
    const rounded = back(values, width, o);
    expect(where(snapped, (value, i) => value !== rounded[i])).toEqual([]);
  });

  it('a row reads the same alone as among others', () =>
    fc.assert(
      fc.asyncProperty(matrix, options, async ({ values, width }, o) => {
        const source = groupQuantized(arraySource(values, [values.length / width, width]), o);
        const all = back(values, width, o);
        for (let row = 0; row < values.length / width; row++) {
          const alone = dequantizeRows(await source.readInt4(row, row + 1), width, source.format);
          expect(alone).toEqual(all.slice(row * width, (row + 1) * width));
        }
      }),
      { numRuns: 50 },
    ));

  it('clips an outlier where that pays', () => {
    const values = random(5, [1, 128]);
    values[7] = 1.9;
    const o = { groupSize: 128, symmetric: true } as const;
    const [plain, searched] = (['none', 'search'] as const).map((clip) => fitGrid(values, 128, { ...o, clip }, 'w'));
    expect(searched.steps[0]).toBeLessThan(plain.steps[0]);
    // The outlier is off by more than half a scale; the other 127 by less than before.
    expect(Math.abs(back(values, 128, { ...o, clip: 'search' })[7] - values[7])).toBeGreaterThan(searched.steps[0] / 2);
  });

  describe.each([true, false])('symmetric %s', (symmetric) => {
    const o = { groupSize: 32, symmetric } as const;
    const row = (value: number): Float32Array => new Float32Array(32).fill(value);

    it.each([1, -1, 0.3, -1e-3])('a row of %d alone is met within half a scale', (value) => {
      const grid = fitGrid(row(value), 32, o, 'w');
      expect(Math.abs(back(row(value), 32, o)[0] - value)).toBeLessThanOrEqual(grid.steps[0] / 2);
    });

    it('a row of zeros has a scale of zero', () => {
      expect([...fitGrid(row(0), 32, o, 'w').scales]).toEqual([0]);
      expect(back(row(0), 32, o)).toEqual(row(0));
    });

    it('denormal numbers share the least float16', () => {
      expect([...fitGrid(row(1e-40), 32, o, 'w').scales]).toEqual([1]);
      expect(back(row(1e-40), 32, o)).toEqual(row(0));
    });

    it.each([NaN, Infinity, -Infinity])('%s is refused with the tensor and the row', async (value) => {
      const values = new Float32Array(4 * 40).fill(1).fill(value, 125, 126);
      const source = groupQuantized(arraySource(values, [4, 40], { name: 'layers.3.up' }), o);
      await expect(source.readInt4(1, 4)).rejects.toThrow(/layers\.3\.up holds a value that is not finite, in row 3/);
    });

    it('a row too large for a float16 scale is refused', () => {
      expect(() => fitGrid(row(3e38), 32, o, 'w')).toThrow(UserError);
      expect(() => fitGrid(row(3e38), 32, { ...o, clip: 'search' }, 'w')).toThrow(/w reaches 3.*e\+38 in row 0.*65504/);
    });
  });

  it('a whole row as a group has one scale, stored for every 128 weights', () => {
    const grid = fitGrid(random(3, [2, 300]), 300, { groupSize: -1, symmetric: false }, 'w');
    expect([grid.groups, grid.format]).toEqual([3, { groupSize: 128, zeroPoints: true }]);
    for (const row of [0, 1]) expect(new Set(grid.scales.subarray(3 * row, 3 * row + 3)).size).toBe(1);
  });
});
