import { kernel, kernelModule, type Kernel, type Locals } from '../compiler/kernel.js';
import { load, type Int, type Value } from '../compiler/language.js';
import { each, element } from '../compiler/loops.js';
import { storeHalves, toHalf } from './float16.js';

/**
 * Rotates pairs (i, i + half) of a row of `size` elements by a position's angles: first = a cos - b sin, second = b cos +
 * a sin. cos and sin are tables [positions, half]; elements beyond the pairs are copied, all of them where half is 0.
 */
export function rotateRow(
  k: Kernel,
  half: Int,
  size: Int,
  source: Int,
  target: Int,
  position: Int,
  cos: Int,
  sin: Int,
): void {
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
  const rotated = k.let(half.shiftLeft(1));
  each(k, size.minus(rotated), [element(source, rotated), element(target, rotated)], (from, at) =>
    at.store(from.load()),
  );
}

/** How elements enter a cache: one, or four that lie `stride` bytes apart. */
export interface Put {
  readonly bytes: number;
  readonly one: (k: Kernel, address: Int, value: Value<'f32'>) => void;
  readonly four: (k: Kernel, address: Int, values: Value<'f32x4'>, stride: number) => void;
}
const lanes = [0, 1, 2, 3];
export const putFloat: Put = {
  bytes: 4,
  one: (k, address, value) => k.store(address, value),
  four: (k, address, values, stride) => {
    const four = k.let(values);
    if (stride === 4) k.store(address, four);
    else for (const lane of lanes) k.store(address, four.lane(lane), stride * lane);
  },
};
export const putHalf: Put = {
  bytes: 2,
  one: (k, address, value) => k.store16(address, toHalf(k, value)),
  four: (k, address, values, stride) => {
    const four = k.let(toHalf(k, values));
    if (stride === 2) storeHalves(k, address, four);
    else for (const lane of lanes) k.store16(address, four.lane(lane), stride * lane);
  },
};

/** Where element i of a key's (or value's) row lies in its head's panels, in elements. */
export interface Place {
  readonly at: (key: Int, i: Int, size: Int, capacity: Int) => Int;
  /** The distance between neighbouring elements of such four. */
  readonly apart: number;
}

/** Panels of 8 keys, [d][8] each. */
export const ofKeys: Place = {
  at: (key, i, size) => key.shiftRight(3).times(size).plus(i).shiftLeft(3).plus(key.and(7)),
  apart: 8,
};

/** Panels of 8 elements of the values, [capacity][8] each. */
export const ofValues: Place = {
  at: (key, i, _size, capacity) => i.shiftRight(3).times(capacity).plus(key).shiftLeft(3).plus(i.and(7)),
  apart: 1,
};

/** A key's row [d] to its head's panels. */
export function putRow(
  k: Kernel,
  put: Put,
  { at, apart }: Place,
  row: Int,
  panels: Int,
  key: Int,
  size: Int,
  capacity: Int,
): void {
  const fours = k.let(size.and(-4));
  const place = (i: Int): Int => panels.plus(at(key, i, size, capacity).times(put.bytes));
  k.for(0, fours, 4, (i) => {
    const target = k.let(place(i));
    put.four(k, target, load.f32x4(element(row, i)), apart * put.bytes);
  });
  k.for(fours, size, 1, (i) => put.one(k, place(i), load.f32(element(row, i))));
}

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

/** Rows [d] of each head and token, at their strides, from key `start` of a cache on. */
const append = (put: Put, place: Place) =>
  kernel(
    appendParameters,
    (k, { source, panels, heads, tokens, start, size, headStride, tokenStride, panelHeadStride, capacity }) =>
      k.repeat(heads, () => {
        const row = k.let(source);
        k.for(start, start.plus(tokens), 1, (key) => {
          putRow(k, put, place, row, panels, key, size, capacity);
          row.add(tokenStride);
        });
        source.add(headStride);
        panels.add(panelHeadStride);
      }),
  );

const rotateParameters = {
  source: 'i32',
  target: 'i32',
  count: 'i32',
  tokens: 'i32',
  heads: 'i32',
  group: 'i32',
  size: 'i32',
  positions: 'i32',
  half: 'i32',
  cos: 'i32',
  sin: 'i32',
} as const;

/**
 * [count, heads, d] rotated by each token's position, to [heads / group][tokens][group][d], of which these are `count`
 * tokens: the queries that share keys lie together. `row` writes one head's row from `source`.
 */
function emitRotate(
  k: Kernel,
  { source, target, count, tokens, heads, group, size, positions }: Locals<typeof rotateParameters>,
  row: (to: Int, position: Int) => void,
): void {
  k.for(0, count, 1, (token) => {
    const position = k.let(load.i32(element(positions, token)));
    k.for(0, heads, 1, (head) => {
      const at = head.over(group).times(tokens).plus(token).times(group).plus(head.remainder(group));
      row(k.let(element(target, at.times(size))), position);
      source.add(size.shiftLeft(2));
    });
  });
}

export const attention = kernelModule('attention', () => ({
  rotate: kernel(rotateParameters, (k, p) =>
    emitRotate(k, p, (to, position) => rotateRow(k, p.half, p.size, p.source, to, position, p.cos, p.sin)),
  ),

  appendKeys: append(putFloat, ofKeys),
  appendKeysHalf: append(putHalf, ofKeys),
  appendValues: append(putFloat, ofValues),
  appendValuesHalf: append(putHalf, ofValues),

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
