import { describe, expect, it } from 'vitest';
import { drawRows } from '../../../src/text/index.js';
import { fileOfRows, letters, shown } from './rows.js';

const two = { length: 2 };

describe('without a seed', () => {
  it('the first rows are drawn', async () => {
    const { rows, drawnFrom, length, note } = await drawRows(letters, [fileOfRows(9)], { ...two, samples: 4 });
    expect([shown(rows), drawnFrom, length, note]).toEqual(['abcd', 4, 2, undefined]);
  });

  it('a text that is too short is told of', async () => {
    const { rows, drawnFrom, note } = await drawRows(letters, [fileOfRows(3)], { ...two, samples: 4 });
    expect([shown(rows), drawnFrom]).toEqual(['abc', 3]);
    expect(note).toMatch(/^3 rows of 2 tokens instead of 4/);
  });
});

describe('with a seed', () => {
  const file = fileOfRows(26);
  const draw = async (seed: number, samples = 3): Promise<string> =>
    shown((await drawRows(letters, [file], { ...two, samples, seed })).rows);

  it('as many are drawn from eight times as many, the same for the same seed, none twice', async () => {
    const { drawnFrom, note } = await drawRows(letters, [file], { ...two, samples: 3, seed: 1 });
    expect([drawnFrom, note]).toEqual([24, undefined]);
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const rows = await draw(seed);
      expect([rows.length, new Set(rows).size]).toEqual([3, 3]);
      expect(await draw(seed)).toBe(rows);
      for (const row of rows) seen.add(row);
    }
    // These seeds miss none of the 24, and no seed reaches the two behind.
    expect([...seen].sort().join('')).toBe('abcdefghijklmnopqrstuvwx');
  });

  it('any place may have any row', async () => {
    const firsts = new Set<string>();
    for (let seed = 0; seed < 100; seed++) firsts.add((await draw(seed, 1))[0]);
    expect([...firsts].sort().join('')).toBe('abcdefgh');
  });

  it('a text that holds enough, but not eight times as much, is no matter', async () => {
    const few = await drawRows(letters, [fileOfRows(5)], { ...two, samples: 4, seed: 1 });
    expect([few.rows.length, few.drawnFrom, few.note]).toEqual([4, 5, undefined]);
    const fewer = await drawRows(letters, [fileOfRows(3)], { ...two, samples: 4, seed: 1 });
    expect([fewer.rows.length, shown(fewer.rows).split('').sort().join('')]).toEqual([3, 'abc']);
    expect(fewer.note).toMatch(/^3 rows/);
  });
});
