import { describe, expect, it } from 'vitest';
import { arraySource } from '../../../src/engine/index.js';
import { clipGroups, clipLimits } from '../../../src/quant/awqClip.js';
import { candidateScales, searchScales, weightMeans } from '../../../src/quant/awqScales.js';
import { fitGrid, snapToGrid } from '../../../src/quant/index.js';
import { InputStatistics, dividedColumns } from '../../../src/quant/inputStatistics.js';
import { random } from '../../support/backends.js';

describe('weight means', () => {
  it('are means of shares of the largest of a group, over rows of all weights', async () => {
    const first = arraySource(Float32Array.of(1, -2, 4, 0), [1, 4]);
    const second = arraySource(Float32Array.of(0, 3, 3, -3), [1, 4]);
    const means = await weightMeans([first, second], -1);
    // The 1e-6 beside the largest keeps shares just below what they are called here.
    [(1 / 4 + 0) / 2, (2 / 4 + 1) / 2, 1, (0 + 1) / 2].forEach((share, i) => expect(means[i]).toBeCloseTo(share, 5));
  });

  it('know groups', async () => {
    const values = new Float32Array(64).fill(1).fill(10, 32);
    expect(
      [...(await weightMeans([arraySource(values, [1, 64])], 32))].every((mean) => Math.abs(mean - 1) < 1e-5),
    ).toBe(true);
    expect((await weightMeans([arraySource(values, [1, 64])], 64))[0]).toBeCloseTo(0.1, 5);
  });
});

describe('candidate scales', () => {
  const x = Float64Array.of(0.1, 1, 10, 0);
  const w = Float64Array.of(0.5, 0.5, 0.5, 0.5);

  it('follow the formula, and lie evenly about 1', () => {
    const raw = [0.1, 1, 10].map((value) => value ** 0.5 / (0.5 ** 0.5 + 1e-4));
    const least = 1e-4; // the input that never comes
    const scales = candidateScales(x, w, 0.5);
    const middle = Math.sqrt(raw[2] * least);
    [...raw, least].forEach((value, i) => expect(scales[i]).toBeCloseTo(value / middle, 10));
    expect(Math.min(...scales) * Math.max(...scales)).toBeCloseTo(1, 12);
  });

  it('a ratio of 0 looks at the weights alone', () => {
    expect(new Set(candidateScales(x, w, 0)).size).toBe(1);
  });

  it('the first of least loss wins, and what is not a number never does', async () => {
    const losses = [NaN, 3, 2, 2, 5];
    let asked = 0;
    const { ratio, loss } = await searchScales(x, w, async () => losses[asked++] ?? 9);
    expect([asked, ratio, loss]).toEqual([20, 0.1, 2]);
    const { scales } = await searchScales(x, w, async () => NaN);
    expect([...scales]).toEqual([1, 1, 1, 1]);
  });
});

describe('the clip search', () => {
  const [out, width, tokens, groupSize] = [5, 80, 30, 32];
  const options = { groupSize: 32, symmetric: true } as const;
  const values = random(1, [out, width]).map((value, i) => (i % 37 === 0 ? 3 * value : value));
  const sample = random(2, [tokens, width]);

  it('takes the share of least error in the outputs, group by group', async () => {
    const limits = await clipLimits(arraySource(values, [out, width]), sample, options);
    const groups = Math.ceil(width / groupSize);
    for (let row = 0; row < out; row++)
      for (let group = 0; group < groups; group++) {
        const [from, to] = [group * groupSize, Math.min(width, (group + 1) * groupSize)];
        const weights = values.slice(row * width + from, row * width + to);
        const most = weights.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        const errorOf = (limit: number): number => {
          const cut = weights.map((w) => Math.max(-limit, Math.min(limit, w)));
          snapToGrid(cut, cut.length, fitGrid(cut, cut.length, options, 'w'));
          let sum = 0;
          for (let t = 0; t < tokens; t++) {
            let y = 0;
            for (let i = from; i < to; i++) y += sample[t * width + i] * (cut[i - from] - weights[i - from]);
            sum += y * y;
          }
          return sum;
        };
        const errors = Array.from({ length: 10 }, (_, i) => errorOf(Math.fround((1 - i / 20) * most)));
        // Two sums of the same squares in another order.
        expect(errorOf(limits[row * groups + group])).toBeLessThanOrEqual(Math.min(...errors) * (1 + 1e-5));
      }
  });

  it('cuts rows by their own limits wherever they begin', () => {
    const limits = Float32Array.of(1, 2, 3, 4, 5, 6); // [2 rows, 3 groups]
    const row = new Float32Array(width).fill(10);
    clipGroups(limits, groupSize)(row, 1, width);
    expect([row[0], row[31], row[32], row[63], row[64], row[79]]).toEqual([4, 4, 5, 5, 6, 6]);
    row.fill(-10);
    clipGroups(limits, groupSize)(row, 0, width);
    expect([row[0], row[79]]).toEqual([-1, -3]);
  });
});

describe('input statistics', () => {
  it('mean magnitudes of all tokens, and every so many of them whole', () => {
    const statistics = new InputStatistics(2, 3000);
    const all = random(4, [3000, 2]);
    statistics.add(all.subarray(0, 2 * 1001));
    statistics.add(all.subarray(2 * 1001));
    for (const i of [0, 1])
      expect(statistics.means[i]).toBeCloseTo(
        all.filter((_, at) => at % 2 === i).reduce((a, b) => a + Math.abs(b), 0) / 3000,
        10,
      );
    const kept = Array.from({ length: 1000 }, (_, i) => [...all.subarray(6 * i, 6 * i + 2)]).flat();
    expect([...statistics.sample]).toEqual(kept);
    expect([...dividedColumns(Float32Array.of(2, 6, 4, 12), [2, 3])]).toEqual([1, 2, 2, 4]);
  });
});
