import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { calibrationRows } from '../../src/text/index.js';
import type { Tokenizer } from '../../src/checkpoint/index.js';
import { evaluateLoss } from '../../src/evaluate/index.js';
import { scoreImportance, selectDrops, type Importance, type Target } from '../../src/drop/index.js';
import type { LoadedModel } from '../../src/models/index.js';
import { shared } from './oracleCases.js';

/** What transformers in float32 found for a real checkpoint: `../shared/oracle/<name>.json`. */
export interface RealScores {
  readonly text: string;
  readonly samples: number;
  readonly length: number;
  readonly similarities: Readonly<Record<'attn' | 'mlp' | 'block' | 'attn_bare' | 'mlp_bare', number[]>>;
  readonly block_consecutive: (number | null)[][];
  readonly loss: number;
  readonly rows_head: number[];
  /** By `<target>-<count>`; of joint, MLPs count from L. */
  readonly drop: Readonly<Record<string, { index: number[]; loss: number }>>;
}

export const realScores = (name: string): RealScores =>
  JSON.parse(readFileSync(join(shared, 'oracle', `${name}.json`), 'utf8')) as RealScores;

/** The rows that the expectations were made on. */
export async function realRows(expected: RealScores, tokenizer: Tokenizer): Promise<Int32Array[]> {
  const { rows } = await calibrationRows(tokenizer, [join(shared, 'data', expected.text)], expected);
  expect(Array.from(rows[0].subarray(0, expected.rows_head.length))).toEqual(expected.rows_head);
  return rows;
}

const similarityNames = {
  attention: 'attn',
  mlp: 'mlp',
  block: 'block',
  attentionBare: 'attn_bare',
  mlpBare: 'mlp_bare',
} as const;
const targetNames: Record<string, Target> = { attn: 'attention', mlp: 'mlp', block: 'block', joint: 'joint' };

/** Every similarity and window within `tolerance`, every drop list equal. Returns the scores. */
export async function expectScores(
  model: LoadedModel,
  rows: readonly Int32Array[],
  expected: RealScores,
  tolerance: number,
): Promise<Importance> {
  const importance = await scoreImportance(model, rows);
  for (const [ours, theirs] of Object.entries(similarityNames))
    expectWithin(
      importance.similarity[ours as keyof typeof similarityNames] as readonly number[],
      expected.similarities[theirs],
      tolerance,
      ours,
    );
  importance.blockConsecutive.forEach((row, i) => {
    expect(row.map((value) => value === null)).toEqual(expected.block_consecutive[i].map((value) => value === null));
    expectWithin(
      row.filter((value) => value !== null),
      expected.block_consecutive[i].filter((value) => value !== null),
      tolerance,
      `windows from block ${i}`,
    );
  });
  for (const [name, { index }] of Object.entries(expected.drop)) expect(chosen(importance, name), name).toEqual(index);
  return importance;
}

function chosen(importance: Importance, name: string): readonly number[] {
  const [target, count] = name.split('-');
  const { attention, mlp } = selectDrops(importance, targetNames[target], Number(count));
  if (target === 'joint') return [...attention, ...mlp.map((i) => i + importance.similarity.attention.length)];
  return target === 'mlp' ? mlp : attention;
}

function expectWithin(actual: readonly number[], expected: readonly number[], tolerance: number, what: string): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) =>
    expect(Math.abs(value - expected[i]), `${what} ${i}: ${value}, expected ${expected[i]}`).toBeLessThanOrEqual(
      tolerance,
    ),
  );
}

/** The loss of the whole model, or after one of the expected drops, within `tolerance`. */
export async function expectLoss(
  model: LoadedModel,
  rows: readonly Int32Array[],
  expected: RealScores,
  name: string | undefined,
  tolerance: number,
): Promise<void> {
  const L = model.layers.length;
  const index = name ? expected.drop[name].index : [];
  const target = name?.split('-')[0];
  model.setDrops({
    attention: target === 'mlp' ? [] : index.filter((i) => i < L),
    mlp: target === 'mlp' || target === 'block' ? index : index.filter((i) => i >= L).map((i) => i - L),
  });
  const { loss } = await evaluateLoss(model, rows);
  model.setDrops({ attention: [], mlp: [] });
  const want = name ? expected.drop[name].loss : expected.loss;
  expect(Math.abs(loss - want), `loss of ${name ?? 'the whole model'}: ${loss}, expected ${want}`).toBeLessThanOrEqual(
    tolerance,
  );
}
