import { asDoubles, constant, load, shuffle, type Int, type Value } from '../language.js';
import { kernel, kernelModule, type Kernel, type Variable } from '../kernel.js';

type Floats = Variable<'f32x4'>;

const words = (...lanes: number[]): number[] => lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));

/** Four rows of four floats to four columns. */
function transposed(k: Kernel, [a, b, c, d]: readonly Value<'f32x4'>[]): Value<'f32x4'>[] {
  const zip = (x: Value<'f32x4'>, y: Value<'f32x4'>, high: boolean): Floats =>
    k.let(shuffle(x, y, high ? words(2, 6, 3, 7) : words(0, 4, 1, 5)));
  const [abLow, abHigh, cdLow, cdHigh] = [zip(a, b, false), zip(a, b, true), zip(c, d, false), zip(c, d, true)];
  return [
    shuffle(abLow, cdLow, words(0, 1, 4, 5)),
    shuffle(abLow, cdLow, words(2, 3, 6, 7)),
    shuffle(abHigh, cdHigh, words(0, 1, 4, 5)),
    shuffle(abHigh, cdHigh, words(2, 3, 6, 7)),
  ];
}

/** Two rows of four floats to four columns, each as the bits of a double. */
const pairs = (k: Kernel, [a, b]: readonly Value<'f32x4'>[]): Value<'f64'>[] =>
  [words(0, 4, 1, 5), words(2, 6, 3, 7)].flatMap((order) => {
    const two = k.let(asDoubles(shuffle(a, b, order)));
    return [two.lane(0), two.lane(1)];
  });

/** Rows of `depth` floats, `stride` bytes apart, to groups of `width` rows laid out [depth][width]. */
const packRows = (width: number) =>
  kernel(
    { source: 'i32', target: 'i32', groups: 'i32', depth: 'i32', stride: 'i32' },
    (k, { source, target, groups, depth, stride }) =>
      k.repeat(groups, () => {
        const rows = [k.let(source)];
        for (let i = 1; i < width; i++) rows.push(k.let(rows[i - 1].plus(stride)));
        const left = k.let(depth);
        k.while(
          () => left.atLeast(4),
          () => {
            for (let part = 0; part + 4 <= width; part += 4) {
              const columns = transposed(
                k,
                rows.slice(part, part + 4).map((row) => k.let(load.f32x4(row))),
              );
              columns.forEach((column, i) => k.store(target, column, 4 * (i * width + part)));
            }
            if (width % 4 === 2)
              pairs(
                k,
                rows.slice(-2).map((row) => k.let(load.f32x4(row))),
              ).forEach((pair, i) => k.store(target, pair, 4 * (i * width + width - 2)));
            for (const row of rows) row.add(16);
            target.add(16 * width);
            left.set(left.minus(4));
          },
        );
        k.repeat(left, () => {
          rows.forEach((row, i) => {
            k.store(target, load.f32(row), 4 * i);
            row.add(4);
          });
          target.add(4 * width);
        });
        source.add(stride.times(width));
      }),
  );

/**
 * Rows `ids` of a matrix in panels of 8 rows, to [count, depth]. A panel's row takes `bytes`; `within` is where a lane
 * lies in it.
 */
const gather = (bytes: number, within: (lane: Int) => Int, read: (address: Int) => Value<'f32'>) =>
  kernel(
    { panels: 'i32', ids: 'i32', target: 'i32', count: 'i32', depth: 'i32' },
    (k, { panels, ids, target, count, depth }) =>
      k.repeat(count, () => {
        const id = k.let(load.i32(ids));
        const source = k.let(panels.plus(id.shiftRight(3).times(depth).times(bytes)).plus(within(id.and(7))));
        k.repeat(depth, () => {
          k.store(target, read(source));
          source.add(bytes);
          target.add(4);
        });
        ids.add(4);
      }),
  );

export const pack = kernelModule('pack', () => ({
  packRows4: packRows(4),
  packRows6: packRows(6),
  packRows8: packRows(8),

  /** As above for any strides (bytes) and width; rows that lack in the last group are zeros. */
  packStrided: kernel(
    { source: 'i32', target: 'i32', count: 'i32', width: 'i32', depth: 'i32', rowStride: 'i32', depthStride: 'i32' },
    (k, { source, target, count, width, depth, rowStride, depthStride }) =>
      k.for(0, count, width, (first) =>
        k.for(0, depth, 1, (at) =>
          k.for(0, width, 1, (lane) => {
            const row = k.let(first.plus(lane));
            k.if(
              row.less(count),
              () => k.store(target, load.f32(source.plus(row.times(rowStride)).plus(at.times(depthStride)))),
              () => k.store(target, constant('f32', 0)),
            );
            target.add(4);
          }),
        ),
      ),
  ),

  /** Panels of float32 to pairs of bfloat16 (see `bfloat16Pairs`), for numbers that are ones. `rows` of 8 elements. */
  narrow: kernel({ source: 'i32', target: 'i32', rows: 'i32' }, (k, { source, target, rows }) =>
    k.repeat(rows, () => {
      const [low, high] = [load.f32x4(source).bits(), load.f32x4(source, 16).bits()];
      k.store(target, low.shiftRight(16).or(high.and(-65536)));
      source.add(32);
      target.add(16);
    }),
  ),

  gather: gather(
    32,
    (lane) => lane.shiftLeft(2),
    (address) => load.f32(address),
  ),
  gatherNarrow: gather(
    16,
    (lane) => lane.and(3).shiftLeft(2).plus(lane.shiftRight(2).shiftLeft(1)),
    (address) => load.i16(address).shiftLeft(16).asFloat(),
  ),

  /** `columns` floats of each row; strides in bytes. */
  copyColumns: kernel(
    { source: 'i32', target: 'i32', rows: 'i32', columns: 'i32', sourceStride: 'i32', targetStride: 'i32' },
    (k, { source, target, rows, columns, sourceStride, targetStride }) =>
      k.repeat(rows, () => {
        k.for(0, columns, 1, (column) => copyFloat(k, source, target, column));
        source.add(sourceStride);
        target.add(targetStride);
      }),
  ),
}));

const copyFloat = (k: Kernel, source: Int, target: Int, index: Int): void =>
  k.store(target.plus(index.shiftLeft(2)), load.f32(source.plus(index.shiftLeft(2))));
