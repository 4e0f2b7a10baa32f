import { kernel, kernelModule } from '../compiler/kernel.js';
import { constant, load } from '../compiler/language.js';

const along = { x: 'i32', y: 'i32', outer: 'i32', size: 'i32', inner: 'i32' } as const;

/** Along the middle axis of x [outer, size, inner], to y [outer, inner]. */
export const reduce = kernelModule('reduce', () => ({
  /** y = sum * factor, summed in float64. */
  sum: kernel({ ...along, factor: 'f64' }, (k, { x, y, outer, size, inner, factor }) =>
    k.repeat(outer, () => {
      k.for(0, inner, 1, (column) => {
        const total = k.let(constant('f64', 0));
        const at = k.let(x.plus(column.shiftLeft(2)));
        k.repeat(size, () => {
          total.add(load.f32(at).promoted());
          at.add(inner.shiftLeft(2));
        });
        k.store(y, total.times(factor).demoted());
        y.add(4);
      });
      x.add(size.times(inner).shiftLeft(2));
    }),
  ),

  /** y = the first index of the largest element, int32. */
  argmax: kernel(along, (k, { x, y, outer, size, inner }) =>
    k.repeat(outer, () => {
      k.for(0, inner, 1, (column) => {
        const at = k.let(x.plus(column.shiftLeft(2)));
        const most = k.let(load.f32(at));
        const best = k.let(constant('i32', 0));
        k.for(0, size, 1, (index) => {
          k.if(load.f32(at).greater(most), () => {
            most.set(load.f32(at));
            best.set(index);
          });
          at.add(inner.shiftLeft(2));
        });
        k.store(y, best);
        y.add(4);
      });
      x.add(size.times(inner).shiftLeft(2));
    }),
  ),
}));
