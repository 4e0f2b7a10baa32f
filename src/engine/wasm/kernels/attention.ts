import { load, type Int, type Value } from '../language.js';
import { kernel, kernelModule, type Kernel } from '../kernel.js';
import { each, element } from '../loops.js';
import { toHalf } from './halfFloat.js';

/**
 * Rotates pairs (i, i + d / 2) by a position's angles: first = a cos - b sin, second = b cos + a sin. cos and sin are
 * tables [positions, d / 2].
 */
export function rotateRow(k: Kernel, half: Int, source: Int, target: Int, position: Int, cos: Int, sin: Int): void {
  const bytes = k.let(half.shiftLeft(2));
  const row = k.let(position.times(bytes));
  each(
    k,
    half,
    [source, source.plus(bytes), target, target.plus(bytes), cos.plus(row), sin.plus(row)],
    (a, b, first, second, c, s) => {
      const [x, y, u, v] = [k.let(a.load()), k.let(b.load()), k.let(c.load()), k.let(s.load())];
      first.store(x.times(u).minus(y.times(v)));
      second.store(y.times(u).plus(x.times(v)));
    },
  );
}

/** How one element enters a cache. */
export type Put = (k: Kernel, address: Int, value: Value<'f32'>) => void;
export const putFloat: Put = (k, address, value) => k.store(address, value);
export const putHalf: Put = (k, address, value) => k.store16(address, toHalf(k, value));

const appendParameters = {
  source: 'i32',
  panels: 'i32',
  heads: 'i32',
  tokens: 'i32',
  start: 'i32',
  size: 'i32',
  headStride: 'i32',
  tokenStride: 'i32',
  panelHeadStride: 'i32',
  capacity: 'i32',
} as const;

/**
 * Rows [d] of each head and token, at their strides, from key `start` of a cache on; `at` says where element i of a key
 * lies in its head's panels, in elements.
 */
const append = (put: Put, bytes: number, at: (key: Int, i: Int, size: Int, capacity: Int) => Int) =>
  kernel(
    appendParameters,
    (k, { source, panels, heads, tokens, start, size, headStride, tokenStride, panelHeadStride, capacity }) =>
      k.repeat(heads, () => {
        const row = k.let(source);
        k.for(start, start.plus(tokens), 1, (key) => {
          k.for(0, size, 1, (i) =>
            put(k, panels.plus(at(key, i, size, capacity).times(bytes)), load.f32(element(row, i))),
          );
          row.add(tokenStride);
        });
        source.add(headStride);
        panels.add(panelHeadStride);
      }),
  );

/** Panels of 8 keys, [d][8] each. */
export const keyAt = (key: Int, i: Int, size: Int): Int =>
  key.shiftRight(3).times(size).plus(i).shiftLeft(3).plus(key.and(7));

/** Panels of 8 elements of the values, [capacity][8] each. */
export const valueAt = (key: Int, i: Int, _size: Int, capacity: Int): Int =>
  i.shiftRight(3).times(capacity).plus(key).shiftLeft(3).plus(i.and(7));

export const attention = kernelModule('attention', () => ({
  /**
   * [count, heads, d] rotated by each token's position, to [heads / group][tokens][group][d], of which these are `count`
   * tokens: the queries that share keys lie together.
   */
  rotate: kernel(
    {
      source: 'i32',
      target: 'i32',
      count: 'i32',
      tokens: 'i32',
      heads: 'i32',
      group: 'i32',
      size: 'i32',
      positions: 'i32',
      cos: 'i32',
      sin: 'i32',
    },
    (k, { source, target, count, tokens, heads, group, size, positions, cos, sin }) =>
      k.for(0, count, 1, (token) => {
        const position = k.let(load.i32(element(positions, token)));
        k.for(0, heads, 1, (head) => {
          const row = head.over(group).times(tokens).plus(token).times(group).plus(head.remainder(group));
          const to = k.let(element(target, row.times(size)));
          k.if(
            cos.differs(0),
            () => rotateRow(k, size.shiftRight(1), source, to, position, cos, sin),
            () => each(k, size, [source, to], (from, at) => at.store(from.load())),
          );
          source.add(size.shiftLeft(2));
        });
      }),
  ),

  appendKeys: append(putFloat, 4, keyAt),
  appendKeysHalf: append(putHalf, 2, keyAt),
  appendValues: append(putFloat, 4, valueAt),
  appendValuesHalf: append(putHalf, 2, valueAt),

  /** Finished rows [tokens x group][d], `sourceStride` bytes apart, times 1 / sum, to the group's columns of [tokens, heads d]. */
  finish: kernel(
    {
      source: 'i32',
      inverses: 'i32',
      target: 'i32',
      tokens: 'i32',
      group: 'i32',
      size: 'i32',
      sourceStride: 'i32',
      targetStride: 'i32',
    },
    (k, { source, inverses, target, tokens, group, size, sourceStride, targetStride }) =>
      k.repeat(tokens, () => {
        const to = k.let(target);
        k.repeat(group, () => {
          const inverse = k.let(load.f32(inverses));
          each(k, size, [source, to], (from, at) => at.store(from.load().times(inverse)));
          to.add(size.shiftLeft(2));
          source.add(sourceStride);
          inverses.add(4);
        });
        target.add(targetStride);
      }),
  ),
}));
