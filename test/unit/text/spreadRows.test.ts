import fc from 'fast-check';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/engine/index.js';
import { calibrationRows, drawRows, splitRows, sweepRows } from '../../../src/text/index.js';
import { temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();
const length = 2;
/** A row [n, 0] for each document, which says the row's number. */
const numbers = { encode: (text: string): number[] => [Number(text)], eosId: 0 };
const numbered = (rows: readonly Int32Array[]): number[] => rows.map(([number]) => number);

/** A text of rows `first`, `first` + 1, ... */
function textOf(rows: number, { first = 0, ending = 'jsonl' } = {}): string {
  const path = join(mkdtempSync(join(root, 'spread-')), `text.${ending}`);
  const lines = Array.from({ length: rows }, (_, i) => `${JSON.stringify({ text: String(first + i) })}\n`).join('');
  writeFileSync(path, ending.endsWith('gz') ? gzipSync(lines) : lines);
  return path;
}

const spread = async (files: string[], samples: number): Promise<number[]> =>
  numbered((await calibrationRows(numbers, files, { length, samples, spread: true })).rows);

describe('rows spread over a text', () => {
  it('lie evenly from its beginning to its end, but for every eighth', async () => {
    // Of 14 that may be calibrated on: 0 to 6 and 8 to 14.
    expect(await spread([textOf(16)], 4)).toEqual([0, 3, 8, 11]);
    expect(await spread([textOf(16)], 14)).toEqual([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14]);
  });

  it('are all there are, with a note, where the text is short', async () => {
    const found = await calibrationRows(numbers, [textOf(10)], { length, samples: 20, spread: true });
    expect([numbered(found.rows), found.available]).toEqual([[0, 1, 2, 3, 4, 5, 6, 8, 9], 10]);
    expect(found.note).toMatch(/^9 rows of 2 tokens instead of 20: the text holds no more/);
    await expect(spread([textOf(0)], 4)).rejects.toThrow('not one full row');
  });

  it('are in order, each once, and nowhere farther apart than evenly, also of a text that is not kept whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 9 }), async (rows, samples) => {
        const found = await spread([textOf(rows)], samples);
        const usable = rows - Math.floor(rows / 8);
        expect(found).toHaveLength(Math.min(samples, usable));
        // A row's place among those that may be calibrated on.
        const places = found.map((row) => row - Math.floor(row / 8));
        const apart = usable / found.length;
        places.forEach((place, i) => {
          expect(place).toBeLessThanOrEqual(i * apart);
          expect(place).toBeGreaterThan((i - 1 / 4) * apart - 1);
        });
        expect(found.some((row) => row % 8 === 7)).toBe(false);
        expect(new Set(found).size).toBe(found.length);
      }),
      { numRuns: 60 },
    );
  });

  it('are the same however the text is stored', async () =>
    expect(await spread([textOf(300, { ending: 'jsonl.gz' })], 5)).toEqual(await spread([textOf(300)], 5)));

  it('are shared by several texts in turn, as far as each goes', async () => {
    const texts = [textOf(80), textOf(2, { first: 100 }), textOf(80, { first: 200 })];
    expect(await spread(texts, 6)).toEqual([0, 100, 200, 38, 101, 238]);
    expect(await spread(texts, 8)).toEqual([0, 100, 200, 25, 101, 225, 52, 252]);
  });

  it('leave the same rows to measure on, whatever is calibrated on', async () => {
    const text = textOf(64);
    const of = async (samples: number, heldOut: number): Promise<number[][]> => {
      const {
        calibration,
        heldOut: others,
        notes,
      } = await splitRows(numbers, [text], { length, samples, heldOut, spread: true });
      expect(notes).toEqual([]);
      return [numbered(calibration), numbered(others)];
    };
    const few = await of(4, 4);
    expect(few).toEqual([await spread([text], 4), [7, 23, 39, 55]]);
    expect((await of(50, 4))[1]).toEqual(few[1]);
    expect((await of(4, 8))[0]).toEqual(few[0]);
    const swept = await sweepRows(numbers, [text], { length, samples: 4, heldOut: 4, spread: true });
    expect([numbered(swept.calibration), numbered(swept.heldOut[0].rows), swept.spread]).toEqual([...few, true]);
  });

  it('say where none is left to measure on', async () => {
    const { heldOut, notes } = await splitRows(numbers, [textOf(7)], { length, samples: 4, spread: true });
    expect([heldOut, notes]).toEqual([[], ['the text has only 7 rows: none is left to measure the loss on']]);
  });

  it('leave texts that are only measured on as they are, but for rows that were calibrated on', async () => {
    const text = textOf(64);
    const { heldOut } = await sweepRows(numbers, [text], {
      length,
      samples: 2,
      heldOut: 3,
      texts: [text],
      spread: true,
    });
    expect(numbered(heldOut[0].rows)).toEqual([1, 2, 3]);
  });

  it('are drawn from, with a seed', async () => {
    const text = textOf(640);
    const { rows, drawnFrom } = await drawRows(numbers, [text], { length, samples: 4, spread: true, seed: 1 });
    expect(drawnFrom).toBe(32);
    const pool = new Set(await spread([text], 32));
    expect(numbered(rows).every((row) => pool.has(row))).toBe(true);
  });

  it('do not go with rows that are passed over', async () =>
    expect(calibrationRows(numbers, [textOf(9)], { length, samples: 2, skip: 1, spread: true })).rejects.toThrow(
      UserError,
    ));
});
