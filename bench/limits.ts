import { constant, load } from '../src/engine/wasm/compiler/language.js';
import { kernel, kernelModule } from '../src/engine/wasm/compiler/kernel.js';
import { grid } from '../src/engine/wasm/compiler/loops.js';

/** What one thread of this machine can do with the same instructions: upper limits for the kernels' numbers. */
export const limits = kernelModule('limits', () => ({
  /** `count` rounds of 8 independent f32x4 multiply-adds: 64 operations each. */
  multiplyAdd: kernel({ count: 'i32', into: 'i32' }, (k, { count, into }) => {
    const sums = grid(1, 8, () => k.let(constant('f32x4', 0)))[0];
    const x = k.let(load.f32x4(into));
    const y = k.let(load.f32x4(into, 16));
    k.repeat(count, () => sums.forEach((sum) => sum.add(x.times(y))));
    for (const sum of sums) k.store(into, load.f32x4(into).plus(sum));
  }),

  /** Reads `bytes` (a multiple of 128) from `from` on. */
  read: kernel({ from: 'i32', bytes: 'i32', into: 'i32' }, (k, { from, bytes, into }) => {
    const sums = grid(1, 8, () => k.let(constant('i32x4', 0)))[0];
    k.repeat(bytes.shiftRight(7), () => {
      sums.forEach((sum, i) => sum.set(sum.or(load.f32x4(from, 16 * i).bits())));
      from.add(128);
    });
    for (const sum of sums) k.store(into, sum);
  }),
}));
