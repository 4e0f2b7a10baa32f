import { describe, expect, it } from 'vitest';
import { importanceOf, withoutDropped, type ScoreSums } from '../../../src/drop/index.js';

/** Of three layers, of which layer 1 has no attention, over four tokens: each sum tells by its digits what it is of. */
const sums: ScoreSums = {
  metric: 'cosine',
  samples: 2,
  length: 2,
  tokens: 4,
  layers: 3,
  gaps: [1, 3],
  drop: { attention: [1], mlp: [] },
  sums: [
    ...[400, 404, 408], // attention
    ...[800, 804, 808], // MLP
    ...[1200, 1204, 1208], // attention without the residual
    ...[1600, 1604, 1608], // MLP without the residual
    ...[2004, 2012], // windows of 1 and 3 blocks from layer 0
    ...[2404, 0], // from layer 1
    ...[2804, 0], // from layer 2
  ],
};

describe('importanceOf', () => {
  it('gives means over tokens, null where a module is gone or a window passes the end', () => {
    expect(importanceOf(sums)).toEqual({
      metric: 'cosine',
      samples: 2,
      length: 2,
      tokens: 4,
      similarity: {
        attention: [100, null, 102],
        mlp: [200, 201, 202],
        block: [501, 601, 701],
        attentionBare: [300, null, 302],
        mlpBare: [400, 401, 402],
      },
      blockConsecutive: [
        [501, null, 503],
        [601, null, null],
        [701, null, null],
      ],
    });
  });
});

describe('withoutDropped', () => {
  it('takes modules out, and a block once both of its modules are gone', () => {
    const { similarity, blockConsecutive } = withoutDropped(importanceOf(sums), { attention: [0, 1], mlp: [1] });
    expect(similarity).toEqual({
      attention: [null, null, 102],
      mlp: [200, null, 202],
      block: [501, null, 701],
      attentionBare: [null, null, 302],
      mlpBare: [400, null, 402],
    });
    expect(blockConsecutive).toEqual(importanceOf(sums).blockConsecutive);
  });
});
