import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { selectWindow, type Scores } from '../../../src/drop/index.js';
import { importanceWith } from './scores.js';

/** [start][blocks - 1], null past the end and where a window was not scored. */
const windowScores = (layers: number): fc.Arbitrary<Scores[]> =>
  fc.tuple(
    ...Array.from({ length: layers }, (_, start) =>
      fc.tuple(
        ...Array.from({ length: layers }, (_blocks, i) =>
          start + i < layers ? fc.option(fc.integer({ min: -2, max: 2 }), { freq: 6 }) : fc.constant(null),
        ),
      ),
    ),
  );

const cases = fc.integer({ min: 2, max: 6 }).chain((layers) =>
  fc.record({
    layers: fc.constant(layers),
    windows: windowScores(layers),
    count: fc.integer({ min: 1, max: layers }),
    keep: fc.subarray([...Array(layers).keys()], { maxLength: 2 }),
    compat: fc.boolean(),
  }),
);

describe('the window that goes', () => {
  it('is the first of the best that are scored and free, its blocks whole', () => {
    fc.assert(
      fc.property(cases, ({ layers, windows, count, keep, compat }) => {
        // LLM-Drop looks up the score of one block more than it drops.
        const scored = compat ? count + 1 : count;
        const open = [...Array(layers).keys()]
          .filter((start) => start + count <= layers && !keep.some((i) => i >= start && i < start + count))
          .map((start) => ({ start, score: windows[start][scored - 1] ?? null }))
          .filter(({ score }) => score !== null);
        const choose = () => selectWindow(importanceWith(layers, { windows }), count, { keep, compat });
        if (open.length === 0) {
          expect(choose).toThrow(/cannot drop a window|no window of/);
          return;
        }
        const best = open.find(({ score }) => score === Math.max(...open.map((one) => one.score!)))!;
        const blocks = Array.from({ length: count }, (_, i) => best.start + i);
        expect(choose()).toEqual({ attention: blocks, mlp: blocks });
      }),
      { numRuns: 300 },
    );
  });

  const windows: Scores[] = [
    [0.1, 0.3, 0.9],
    [0.2, 0.8, null],
    [0.7, null, null],
  ];
  const importance = importanceWith(3, { windows });

  it('of compat is one block shorter than what was compared, and the last block is in none', () => {
    expect(selectWindow(importance, 1).attention).toEqual([2]);
    expect(selectWindow(importance, 1, { compat: true }).attention).toEqual([1]);
    expect(selectWindow(importance, 2).attention).toEqual([1, 2]);
    expect(selectWindow(importance, 2, { compat: true }).attention).toEqual([0, 1]);
  });

  it.each([
    [0, {}, 'cannot drop a window of 0 blocks: the model has 3'],
    [1.5, {}, 'cannot drop a window of 1.5 blocks'],
    [4, {}, 'cannot drop a window of 4 blocks: the model has 3'],
    [
      3,
      { compat: true },
      'cannot drop a window of 3 blocks: the model has 3, and LLM-Drop scores windows one block longer',
    ],
    [2, { keep: [1] }, 'no window of 2 consecutive blocks is free of the layers to keep'],
    [1, { keep: [3] }, '`keep` names layer 3, but the model has 3 (0 to 2)'],
  ])('%d blocks with %j is refused', (count, o, sentence) =>
    expect(() => selectWindow(importance, count, o)).toThrow(sentence),
  );

  it('needs scores of windows', () =>
    expect(() => selectWindow(importanceWith(3), 1)).toThrow('these scores hold no windows of blocks'));
});
