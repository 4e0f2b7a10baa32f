import { constant, load, type Int } from '../language.js';
import { kernel, kernelModule, type Kernel, type Variable } from '../kernel.js';

/** Sums over a row, in float64 throughout, of products of a and b: a b, a a and b b. */
function products(k: Kernel, a: Int, b: Int, width: Int): Variable<'f64'>[] {
  const pairs = [0, 1, 2].map(() => k.let(constant('f64x2', 0)));
  const [x, y] = [k.let(a), k.let(b)];
  k.repeat(width.shiftRight(1), () => {
    const [u, v] = [k.let(load.f32x2Promoted(x)), k.let(load.f32x2Promoted(y))];
    [u.times(v), u.squared(), v.squared()].forEach((product, i) => pairs[i].add(product));
    x.add(8);
    y.add(8);
  });
  const sums = pairs.map((pair) => k.let(pair.lane(0).plus(pair.lane(1))));
  k.if(width.and(1), () => {
    const [u, v] = [k.let(load.f32(x).promoted()), k.let(load.f32(y).promoted())];
    [u.times(v), u.squared(), v.squared()].forEach((product, i) => sums[i].add(product));
  });
  return sums;
}

export const cosine = kernelModule('cosine', () => ({
  /** into += sum over rows of a b / (max(|a|, 1e-8) max(|b|, 1e-8)). */
  cosine: kernel({ a: 'i32', b: 'i32', into: 'i32', rows: 'i32', width: 'i32' }, (k, { a, b, into, rows, width }) => {
    const total = k.let(load.f64(into));
    k.repeat(rows, () => {
      const [ab, aa, bb] = products(k, a, b, width);
      total.add(ab.over(aa.sqrt().max(1e-8).times(bb.sqrt().max(1e-8))));
      a.add(width.shiftLeft(2));
      b.add(width.shiftLeft(2));
    });
    k.store(into, total);
  }),
}));
