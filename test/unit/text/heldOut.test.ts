import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitRows, sweepRows } from '../../../src/text/index.js';
import { fileOfRows, letters, shown } from './rows.js';

const two = { length: 2 };

describe('rows split in two', () => {
  const split = async (rows: number, samples: number, heldOut?: number): Promise<[string, string, string[]]> => {
    const found = await splitRows(letters, [fileOfRows(rows)], { ...two, samples, heldOut });
    return [shown(found.calibration), shown(found.heldOut), [...found.notes]];
  };

  it('are the first to calibrate on, and those behind to measure on, as many as there are', async () => {
    expect(await split(9, 4, 3)).toEqual(['abcd', 'efg', []]);
    expect(await split(6, 4, 3)).toEqual(['abcd', 'ef', []]);
    expect((await split(26, 4))[1]).toHaveLength(16);
  });

  it('keep the last eighth back where none would be left, at least four', async () => {
    expect(await split(6, 6)).toEqual([
      'ab',
      'cdef',
      ['the text has no rows after the first 6: the last 4 of 6 are kept back to measure the loss on'],
    ]);
    const [calibration, heldOut, notes] = await split(40, 100);
    expect([calibration.length, heldOut.length]).toEqual([35, 5]);
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(/^40 rows of 2 tokens instead of/);
  });

  it('say so where the text is too short to keep any back', async () => {
    const [calibration, heldOut, notes] = await split(4, 8);
    expect([calibration, heldOut]).toEqual(['abcd', '']);
    expect(notes.at(-1)).toBe('the text has only 4 rows: none is left to measure the loss on');
  });

  it('are each in one part, in their order, whatever is asked for', async () => {
    const counts = fc.integer({ min: 1, max: 26 });
    await fc.assert(
      fc.asyncProperty(counts, counts, counts, async (rows, samples, heldOut) => {
        const [calibration, rest] = await split(rows, samples, heldOut);
        expect('abcdefghijklmnopqrstuvwxyz'.slice(0, rows).startsWith(calibration + rest)).toBe(true);
        expect(calibration.length).toBeGreaterThan(0);
        expect(calibration.length).toBeLessThanOrEqual(samples);
        // Nothing is held out of a text alone that is too short to give any up.
        if (rows > 4) expect(rest.length).toBeGreaterThan(0);
        if (rows >= samples + heldOut) expect([calibration.length, rest.length]).toEqual([samples, heldOut]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('rows of a sweep', () => {
  it('are measured behind those that were calibrated on, where no other text is named', async () => {
    const rows = await sweepRows(letters, [fileOfRows(9)], { ...two, samples: 4, heldOut: 2 });
    expect([shown(rows.calibration), rows.heldOut.map(({ name, rows }) => [name, shown(rows)])]).toEqual([
      'abcd',
      [['held out', 'ef']],
    ]);
    await expect(sweepRows(letters, [fileOfRows(3)], { ...two, samples: 4, heldOut: 2 })).rejects.toThrow(
      'the calibration text has no row left to measure on',
    );
  });

  it('of other texts leave out what was calibrated on, whatever the file is called', async () => {
    const texts = [fileOfRows(9), fileOfRows(9, 'c')];
    const rows = await sweepRows(letters, [fileOfRows(4)], { ...two, samples: 4, heldOut: 3, texts });
    expect(rows.heldOut.map(({ name, rows }) => [name, shown(rows)])).toEqual([
      [texts[0], 'efg'],
      [texts[1], 'efg'],
    ]);
    expect(rows.notes).toEqual([]);
    const short = [fileOfRows(6)];
    const fewer = await sweepRows(letters, [fileOfRows(4)], { ...two, samples: 4, heldOut: 3, texts: short });
    expect(shown(fewer.heldOut[0].rows)).toBe('ef');
    expect(fewer.notes).toEqual([`${short[0]}: 2 rows to measure on instead of 3`]);
    const same = fileOfRows(4);
    await expect(sweepRows(letters, [same], { ...two, samples: 4, heldOut: 1, texts: [same] })).rejects.toThrow(
      `${same} has no row that calibration has not seen`,
    );
  });

  it('begin behind skipRows in each text, so that methods of any number of rows are measured on the same', async () => {
    const texts = [fileOfRows(20)];
    const of = async (samples: number): Promise<string> => {
      const o = { ...two, samples, heldOut: 3, skipRows: 6, texts };
      return shown((await sweepRows(letters, texts, o)).heldOut[0].rows);
    };
    expect([await of(2), await of(6)]).toEqual(['ghi', 'ghi']);
  });
});
