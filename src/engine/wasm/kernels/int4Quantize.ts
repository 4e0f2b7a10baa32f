import { choose, constant, load, type Int, type Value } from '../language.js';
import { kernel, kernelModule, type Kernel, type Variable } from '../kernel.js';
import type { Int4Plan } from '../int4/int4Plan.js';
import { nibbleDot, type Ints } from './nibbles.js';

/** Groups whose largest magnitude is less count as zeros, so that no scale is subnormal. */
const smallest = 2 ** -100;

const magnitude = (x: Value<'f32x4'>): Value<'f32x4'> => x.bits().and(0x7fffffff).asFloat();

/** The largest magnitude of `count` floats, a multiple of 8. NaN where one is. */
function largest(k: Kernel, from: Int, count: Int): Variable<'f32'> {
  const most = k.let(constant('f32x4', 0));
  k.for(from, from.plus(count.shiftLeft(2)), 32, (at) => {
    for (const offset of [0, 16]) most.set(most.max(magnitude(load.f32x4(at, offset))));
  });
  return k.let(
    most
      .lane(0)
      .max(most.lane(1))
      .max(most.lane(2).max(most.lane(3))),
  );
}

const sumOfLanes = (v: Ints): Int =>
  v
    .lane(0)
    .plus(v.lane(1))
    .plus(v.lane(2).plus(v.lane(3)));

/**
 * Rows of floats to integers from -127 to 127: in each group `q = nearest(x * (127 / most))`, ties to even, with the
 * scale `most / 127` for the largest magnitude `most`. `tiles` tiles of `height` rows:
 * - x: [tiles][depth / 8][words][height] words as `nibbleDot` arranges them, the depth padded with zeros;
 * - scales: [tiles][groups][height] floats, divided by the dot's factor;
 * - sums: [tiles][groups][height] integers, the negative sum of a group's q, times the factor.
 *
 * `width` and `group` are in floats; `pad` has room for a group.
 */
export const int4Quantize = (plan: Int4Plan) =>
  kernelModule('int4Quantize', () => ({
    quantize: kernel(
      {
        source: 'i32',
        tiles: 'i32',
        height: 'i32',
        width: 'i32',
        group: 'i32',
        x: 'i32',
        scales: 'i32',
        sums: 'i32',
        pad: 'i32',
      },
      (k, { source, tiles, height, width, group, x, scales, sums, pad }) => {
        const dot = nibbleDot(k, plan);
        const wordStride = k.let(height.shiftLeft(2));

        const quantizeGroup = (from: Int, count: Int, target: Variable<'i32'>, scaleAt: Int, sumAt: Int): void => {
          const most = largest(k, from, count);
          const tiny = k.let(most.less(smallest));
          const inverse = k.let(choose(tiny, constant('f32', 0), constant('f32', 127).over(most)));
          k.store(scaleAt, choose(tiny, constant('f32', 0), most.over(127).times(1 / dot.factor)));
          const total = k.let(constant('i32x4', 0));
          k.for(from, from.plus(count.shiftLeft(2)), 32, (at) => {
            const [low, high] = [0, 16].map((offset) =>
              k.let(load.f32x4(at, offset).times(inverse).nearest().toInteger()),
            );
            total.add(low.plus(high));
            const words = k.let(dot.arrange(low, high));
            for (let word = 0; word < dot.words; word++) {
              k.store(target, words.lane(word));
              target.add(wordStride);
            }
          });
          k.store(sumAt, sumOfLanes(total).times(-dot.factor));
        };

        k.repeat(tiles, () => {
          const tileScales = k.let(scales);
          const tileSums = k.let(sums);
          k.for(0, wordStride, 4, (row) => {
            const target = k.let(x.plus(row));
            const scaleAt = k.let(tileScales.plus(row));
            const sumAt = k.let(tileSums.plus(row));
            const left = k.let(width);
            k.while(
              () => left.differs(0),
              () => {
                const count = k.let(left.min(group));
                const padded = k.let(count.plus(31).and(-32));
                k.if(
                  count.equals(padded),
                  () => quantizeGroup(source, count, target, scaleAt, sumAt),
                  () => {
                    k.for(0, padded.shiftLeft(2), 4, (at) => {
                      k.store(pad.plus(at), constant('f32', 0));
                      k.if(at.less(count.shiftLeft(2)), () => k.store(pad.plus(at), load.f32(source.plus(at))));
                    });
                    quantizeGroup(pad, padded, target, scaleAt, sumAt);
                  },
                );
                source.add(count.shiftLeft(2));
                scaleAt.add(wordStride);
                sumAt.add(wordStride);
                left.set(left.minus(count));
              },
            );
            // The tile's other rows begin one word further; the next tile where this one ends.
            scales.set(scaleAt.minus(row));
            sums.set(sumAt.minus(row));
            k.if(row.plus(4).equals(wordStride), () => x.set(target.minus(row)));
          });
        });
      },
    ),
  }));
