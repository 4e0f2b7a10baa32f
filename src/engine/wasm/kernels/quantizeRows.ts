import { kernel, kernelModule, type Kernel, type Variable } from '../compiler/kernel.js';
import { choose, constant, load, type Int, type Value } from '../compiler/language.js';
import { toInteger } from './exp.js';

type Ints = Value<'i32x4'>;

/** Activations as words of integers, within a kernel. */
export interface Arrangement {
  /** Words of 8 activations. */
  readonly words: number;
  /** The factor by which a product with them comes out too large. */
  readonly factor: number;
  /** 8 activations (the lower halves of two vectors, integers of 16 bits) as `words` words, in the first lanes. */
  arrange(low: Ints, high: Ints): Ints;
}

/** The integers that one way to multiply takes. */
export interface IntegerForm {
  readonly name: string;
  /** The largest. */
  readonly most: 127 | 32767;
  /** Groups are padded with zeros to a multiple of so many activations, itself one of 8. */
  readonly padding: number;
  /** Declares its constants in the kernel: before any loop. */
  arrangement(k: Kernel): Arrangement;
}

/** Groups whose largest magnitude is less count as zeros, so that no scale is subnormal. */
const smallest = 2 ** -100;

/** The bits of `toInteger` as a float. */
const roundedZero = new Int32Array(Float32Array.of(toInteger).buffer)[0];

/**
 * The largest magnitude of `count` floats, a multiple of 8; NaN if one of them is. Without signs, floats are in the
 * order of their bits, and NaN is above all numbers.
 */
function largest(k: Kernel, from: Int, count: Int, unsigned: Ints): Variable<'f32'> {
  const most = [0, 16].map(() => k.let(constant('i32x4', 0)));
  k.for(from, from.plus(count.shiftLeft(2)), 32, (at) =>
    most.forEach((of, i) =>
      of.set(
        of.max(
          load
            .f32x4(at, 16 * i)
            .bits()
            .and(unsigned),
        ),
      ),
    ),
  );
  const both = k.let(most[0].max(most[1]));
  const lanes = [0, 1, 2, 3].map((lane) => k.let(both.lane(lane)));
  return k.let(
    k
      .let(lanes[0].max(lanes[1]))
      .max(k.let(lanes[2].max(lanes[3])))
      .asFloat(),
  );
}

const sumOfLanes = (v: Ints): Int =>
  v
    .lane(0)
    .plus(v.lane(1))
    .plus(v.lane(2).plus(v.lane(3)));

/**
 * Rows of floats to integers from -n to n, n the form's `most`: in each group `q = nearest(x * (n / most))`, ties to even,
 * with the scale `most / n` for the largest magnitude `most`. `tiles` tiles of `height` rows:
 * - x: [tiles][depth / 8][words][height] words as the form arranges them, the depth padded with zeros;
 * - scales: [tiles][groups][height] floats, divided by the form's factor;
 * - sums: [tiles][groups][height] integers, the negative sum of a group's q, times the factor.
 *
 * `width` and `group` are in floats; `pad` has room for a group.
 */
export const quantizeModule = (form: IntegerForm) =>
  kernelModule(form.name, () => ({
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
        const words = form.arrangement(k);
        const wordStride = k.let(height.shiftLeft(2));
        // Constants are declared before any loop, or compilers make them anew in each turn.
        const unsigned = k.let(constant('i32x4', 0x7fffffff));
        const zero = k.let(constant('f32x4', toInteger));
        /** The nearest integer, ties to even, plus `roundedZero`, whose lower half is 0. */
        const rounded = (x: Value<'f32x4'>): Ints => x.plus(zero).bits();

        const quantizeGroup = (from: Int, count: Int, target: Variable<'i32'>, scaleAt: Int, sumAt: Int): void => {
          const most = largest(k, from, count, unsigned);
          const tiny = k.let(most.less(smallest));
          const inverse = k.let(choose(tiny, constant('f32', 0), constant('f32', form.most).over(most)));
          // A group with an infinity or a NaN has no integers: its scale is NaN.
          const scale = most
            .over(form.most)
            .times(1 / words.factor)
            .plus(most.times(0));
          k.store(scaleAt, choose(tiny, constant('f32', 0), scale));
          const total = k.let(constant('i32x4', 0));
          k.for(from, from.plus(count.shiftLeft(2)), 32, (at) => {
            const [low, high] = [0, 16].map((offset) => k.let(rounded(load.f32x4(at, offset).times(inverse))));
            total.add(low.plus(high));
            const arranged = k.let(words.arrange(low, high));
            for (let word = 0; word < words.words; word++) {
              k.store(target, arranged.lane(word));
              target.add(wordStride);
            }
          });
          k.store(sumAt, sumOfLanes(total).minus(count.times(roundedZero)).times(-words.factor));
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
                const padded = k.let(count.plus(form.padding - 1).and(-form.padding));
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
