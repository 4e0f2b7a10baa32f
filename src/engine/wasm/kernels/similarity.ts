import { kernel, kernelModule, type Kernel, type Variable } from '../compiler/kernel.js';
import { constant, load, type Int, type Value } from '../compiler/language.js';
import { grid } from '../compiler/loops.js';

/**
 * Pairs of elements in one step of the loop. Each has sums of its own, so that additions need not wait for each other.
 */
const pairs = 2;

/** Sums over a row, in float64 throughout, of products of a and b: a b, a a and b b. */
function products(k: Kernel, a: Int, b: Int, width: Int): Variable<'f64'>[] {
  const sums = grid(3, pairs, () => k.let(constant('f64x2', 0)));
  const [x, y] = [k.let(a), k.let(b)];
  const add = (pair: number): void => {
    const [u, v] = [x, y].map((at) => k.let(load.f32x2Promoted(at, 8 * pair)));
    [u.times(v), u.squared(), v.squared()].forEach((product, i) => sums[i][pair].add(product));
  };
  const left = k.let(width);
  k.while(
    () => left.atLeast(2 * pairs),
    () => {
      for (let pair = 0; pair < pairs; pair++) add(pair);
      x.add(8 * pairs);
      y.add(8 * pairs);
      left.set(left.minus(2 * pairs));
    },
  );
  const totals = sums.map((of) => {
    const total = of.slice(1).reduce<Value<'f64x2'>>((sum, other) => sum.plus(other), of[0]);
    const lanes = k.let(total);
    return k.let(lanes.lane(0).plus(lanes.lane(1)));
  });
  k.repeat(left, () => {
    const [u, v] = [x, y].map((at) => k.let(load.f32(at).promoted()));
    [u.times(v), u.squared(), v.squared()].forEach((product, i) => totals[i].add(product));
    x.add(4);
    y.add(4);
  });
  return totals;
}

export const cosine = kernelModule('cosine', () => ({
  /** y[r] = a b / (max(|a|, 1e-8) max(|b|, 1e-8)) of rows r of a and b, in float64. */
  cosines: kernel({ a: 'i32', b: 'i32', y: 'i32', rows: 'i32', width: 'i32' }, (k, { a, b, y, rows, width }) =>
    k.repeat(rows, () => {
      const [ab, aa, bb] = products(k, a, b, width);
      k.store(y, ab.over(aa.sqrt().max(1e-8).times(bb.sqrt().max(1e-8))));
      a.add(width.shiftLeft(2));
      b.add(width.shiftLeft(2));
      y.add(8);
    }),
  ),

  /** into += sum of x [count], in float64, one after the other. */
  addUp: kernel({ x: 'i32', into: 'i32', count: 'i32' }, (k, { x, into, count }) => {
    const total = k.let(load.f64(into));
    k.repeat(count, () => {
      total.add(load.f64(x));
      x.add(8);
    });
    k.store(into, total);
  }),
}));
