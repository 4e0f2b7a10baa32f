/**
 * Shards of the rows add up to one run. Sums are float64: parts of n numbers of at most 1 in another order differ by at
 * most n 2^-53 a token, which is below 1e-12 for thousands of rows; scores by relative norm may be larger than 1, and
 * are compared by their size.
 */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  cosine,
  importanceOf,
  mergeShards,
  metrics,
  scoreImportance,
  scoreSums,
  shardRows,
  type Importance,
  type Metric,
  type ShardSums,
} from '../../src/drop/index.js';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { createModel, type Model } from '../../src/models/index.js';
import { modelSpecs, tokenRows } from '../../src/testing/index.js';

const fingerprint = { model: 'a', version: '1' };

/** All numbers of the scores, where they stand. */
function numbers({ similarity, blockConsecutive }: Importance): (number | null)[] {
  return [...Object.values(similarity), ...blockConsecutive].flat() as (number | null)[];
}

function expectSame(actual: Importance, expected: Importance): void {
  const [a, b] = [numbers(actual), numbers(expected)];
  expect(a).toHaveLength(b.length);
  a.forEach((value, i) => {
    const other = b[i];
    if (value === null || other === null) expect(value).toBe(other);
    else expect(Math.abs(value - other)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(other)));
  });
  expect([actual.tokens, actual.samples, actual.length]).toEqual([expected.tokens, expected.samples, expected.length]);
}

async function scoreShards(
  model: Model,
  rows: readonly Int32Array[],
  count: number,
  metric: Metric,
): Promise<ShardSums[]> {
  const shards: ShardSums[] = [];
  for (let index = 1; index <= count; index++) {
    const shard = { index, count };
    shards.push({
      shard,
      fingerprint,
      scored: await scoreSums(model, shardRows(rows, shard), { metric }),
      where: `part ${index}`,
    });
  }
  return shards;
}

describe.each(['wasm', 'reference'] as const)('%s', (backend) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await createEngine(backend)));
  afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
  afterAll(() => engine.dispose());

  it('any sharding of rows in any order gives the scores of one run', async () => {
    const cases = modelSpecs({ maxLayers: 3 }).chain((spec) =>
      tokenRows(spec.config.vocabSize, { max: 9 }, { max: 8 }).chain((rows) =>
        fc.record({
          spec: fc.constant(spec),
          rows: fc.constant(rows),
          order: fc.shuffledSubarray([...rows.keys()], { minLength: rows.length }),
          count: fc.integer({ min: 1, max: rows.length }),
          metric: fc.constantFrom(...metrics),
          given: fc.infiniteStream(fc.nat()),
        }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ spec, rows, order, count, metric, given }) => {
        using model = await createModel(spec.config, { seed: spec.seed, engine });
        const whole = await scoreImportance(model, rows, { metric });
        const shards = await scoreShards(
          model,
          order.map((i) => rows[i]),
          count,
          metric,
        );
        const shuffled = shards
          .map((shard) => ({ shard, at: given.next().value as number }))
          .sort((a, b) => a.at - b.at);
        const merged = importanceOf(mergeShards(shuffled.map(({ shard }) => shard)));
        expectSame(merged, whole);
        expect(merged).toEqual(importanceOf(mergeShards(shards)));
      }),
      { numRuns: backend === 'wasm' ? 40 : 15 },
    );
  });
});

describe('shards', () => {
  const part = (index: number, count: number, o: Partial<ShardSums> = {}): ShardSums => ({
    shard: { index, count },
    fingerprint,
    scored: {
      metric: cosine.name,
      samples: 1,
      length: 4,
      tokens: 4,
      layers: 1,
      gaps: [1],
      drop: { attention: [], mlp: [] },
      sums: [1, 2, 3, 4, index],
    },
    where: `part-${index}.json`,
    ...o,
  });

  it('take every n-th row', () => {
    const rows = Array.from({ length: 7 }, (_, i) => Int32Array.of(i));
    const taken = (index: number): number[] => shardRows(rows, { index, count: 3 }).map(([i]) => i);
    expect([taken(1), taken(2), taken(3)]).toEqual([
      [0, 3, 6],
      [1, 4],
      [2, 5],
    ]);
    expect(() => shardRows(rows, { index: 1, count: 8 })).toThrow('8 shards are more than there are rows: 7');
    expect(() => shardRows(rows, { index: 0, count: 3 })).toThrow('there is no shard 0 of 3');
  });

  it('must be all of one run, each once', () => {
    expect(mergeShards([part(2, 2), part(1, 2)]).sums).toEqual([2, 4, 6, 8, 3]);
    expect(() => mergeShards([part(1, 3)])).toThrow('shards 2, 3 of 3 are missing');
    expect(() => mergeShards([part(1, 2), part(1, 2, { where: 'copy.json' })])).toThrow(
      'part-1.json and copy.json are both shard 1 of 2',
    );
    expect(() => mergeShards([part(1, 2), part(2, 3)])).toThrow(
      'part-2.json is one of 3 shards, but part-1.json one of 2',
    );
    expect(() => mergeShards([part(1, 2), part(2, 2, { fingerprint: { ...fingerprint, model: 'b' } })])).toThrow(
      'part-2.json does not belong to part-1.json: they differ in model',
    );
  });
});
