import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ModelSource } from '../../../src/checkpoint/index.js';
import { dropReport, lossReport } from '../../../src/drop/index.js';
import { sizeOf } from '../../../src/engine/index.js';
import type { LossResult } from '../../../src/evaluate/index.js';
import {
  allWeights,
  describeConfig,
  tensorNames,
  type OpenedModel,
  type PartialConfig,
} from '../../../src/models/index.js';
import { dropSets } from '../../../src/testing/index.js';

const layers = 4;

/** A model in float16 of which only names and shapes are known. */
function source(o: Partial<PartialConfig> = {}): OpenedModel {
  const description = describeConfig({
    vocabSize: 10,
    hiddenSize: 8,
    intermediateSize: 12,
    numHiddenLayers: layers,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    ...o,
  });
  const shapes = new Map(
    allWeights(description).flatMap((weight) => tensorNames(weight).map((name) => [name, weight.shape] as const)),
  );
  shapes.set('model.unused', [1000]);
  const listed = {
    tensorNames: () => [...shapes.keys()],
    info: (name: string) => ({ shape: shapes.get(name)!, bytes: 2 * sizeOf(shapes.get(name)!) }),
  };
  return { config: description.config, description, source: listed as unknown as ModelSource, notes: [] };
}

/** Hidden size 8, of 2 heads of 4 one for keys and values; each with its norm. */
const attention = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 8;
const mlp = 3 * 8 * 12 + 8;
const rest = 2 * 10 * 8 + 8;

describe('a report of what a drop saves', () => {
  it('counts what stays, of any drop, and of what was there before', () => {
    fc.assert(
      fc.property(dropSets(layers), dropSets(layers), (earlier, drops) => {
        const { before, after, ...report } = dropReport(
          source({ dropAttention: [...earlier.attention], dropMlp: [...earlier.mlp] }),
          drops,
        );
        for (const [size, of] of [
          [before, earlier],
          [after, drops],
        ] as const) {
          const [attending, mlps] = [layers - of.attention.length, layers - of.mlp.length];
          const parameters = rest + attending * attention + mlps * mlp;
          // Keys and values of 4 numbers in float32.
          expect(size).toEqual({ parameters, bytes: 2 * parameters, kvBytesPerToken: attending * 2 * 4 * 4 });
        }
        const all = [...Array(layers).keys()];
        for (const kind of ['attention', 'mlp'] as const)
          expect([...report.keep[kind], ...report.drop[kind]].sort((a, b) => a - b)).toEqual(all);
        expect(report.drop).toEqual(drops);
        expect(report.loss).toBeUndefined();
      }),
    );
  });

  it('hands on the loss', () => {
    const loss = { rows: 1, before: 2, after: 3, difference: 1, standardError: null };
    expect(dropReport(source(), { attention: [], mlp: [0] }, loss).loss).toBe(loss);
  });
});

describe('a report of a loss', () => {
  const lossOf = (...rowLosses: number[]): LossResult => ({
    loss: rowLosses.reduce((a, b) => a + b, 0) / rowLosses.length,
    perplexity: 0,
    tokens: rowLosses.length,
    rowLosses,
  });

  it('is paired over the rows: what differs between them alike makes no error', () => {
    expect(lossReport(lossOf(1, 5, 9), lossOf(2, 6, 10))).toEqual({
      rows: 3,
      before: 5,
      after: 6,
      difference: 1,
      standardError: 0,
    });
    // Differences of 1 and 3: a deviation of sqrt(2) over sqrt(2) rows.
    expect(lossReport(lossOf(1, 1), lossOf(2, 4))).toMatchObject({
      difference: 2,
      standardError: expect.closeTo(1, 12),
    });
  });

  it('of one row has no error', () => expect(lossReport(lossOf(1), lossOf(2)).standardError).toBeNull());
});
