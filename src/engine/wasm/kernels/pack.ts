import { kernel, kernelModule, type Kernel, type ModuleScope, type Variable } from '../compiler/kernel.js';
import { asDoubles, constant, load, shuffle, splat, type Int, type Value } from '../compiler/language.js';
import { halfUnit } from './float16.js';

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

const groupParameters = { source: 'i32', target: 'i32', depth: 'i32', stride: 'i32' } as const;
type PackGroup = (k: Kernel, p: { [N in keyof typeof groupParameters]: Variable<'i32'> }) => void;

/** `width` rows of `depth` floats, `stride` bytes apart, laid out [depth][width]. */
const packFloats =
  (width: number): PackGroup =>
  (k, { source, target, depth, stride }) => {
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
  };

/** Packs groups of `width` rows that follow each other in memory. */
const packRows = (width: number) =>
  kernel({ ...groupParameters, groups: 'i32' }, (k, { source, target, groups, depth, stride }) =>
    k.repeat(groups, () => {
      packFloats(width)(k, { source, target, depth, stride });
      source.add(stride.times(width));
    }),
  );

/** Two vectors of 16-bit numbers, word by word: one from the first in the low half, one from the second in the high. */
const zipped = (k: Kernel, a: Value<'i32x4'>, b: Value<'i32x4'>): Floats[] =>
  [0, 8].map((from) =>
    k.let(
      shuffle(
        a,
        b,
        [0, 2, 4, 6].flatMap((at) => [0, 1, 16, 17].map((byte) => from + at + byte)),
      ).asFloat(),
    ),
  );

/** 8 rows of 16-bit floats as a panel. */
const packHalves: PackGroup = (k, { source, target, depth, stride }) => {
  const rows = [k.let(source)];
  for (let i = 1; i < 8; i++) rows.push(k.let(rows[i - 1].plus(stride)));
  const left = k.let(depth);
  k.while(
    () => left.atLeast(8),
    () => {
      const halves = rows.map((row) => k.let(load.f32x4(row).bits()));
      const words = [0, 1, 2, 3].map((j) => zipped(k, halves[2 * j], halves[2 * j + 1]));
      [0, 1].forEach((part) =>
        transposed(
          k,
          words.map((of) => of[part]),
        ).forEach((column, i) => k.store(target, column, 16 * (4 * part + i))),
      );
      for (const row of rows) row.add(16);
      target.add(128);
      left.set(left.minus(8));
    },
  );
  k.repeat(left, () => {
    for (let j = 0; j < 4; j++)
      k.store(target, load.i16(rows[2 * j]).or(load.i16(rows[2 * j + 1]).shiftLeft(16)), 4 * j);
    for (const row of rows) row.add(2);
    target.add(16);
  });
};

/**
 * Turns rows into panels of 8 rows in place: a panel takes as much memory as its rows. Each is first laid out in
 * `scratch`. `rowBytes` is the length of a row.
 */
const panelsInPlace = (scope: ModuleScope, pack: PackGroup) => {
  const packGroup = scope.function(groupParameters, pack);
  return kernel(
    { at: 'i32', scratch: 'i32', groups: 'i32', depth: 'i32', rowBytes: 'i32' },
    (k, { at, scratch, groups, depth, rowBytes }) =>
      k.repeat(groups, () => {
        k.call(packGroup, { source: at, target: scratch, depth, stride: rowBytes });
        const from = k.let(scratch);
        const end = k.let(at.plus(rowBytes.times(8)));
        k.while(
          () => at.differs(end),
          () => {
            k.store(at, load.f32x4(from));
            from.add(16);
            at.add(16);
          },
        );
      }),
  );
};

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

/** A finite float16 in the upper half of a word. */
const halfAsFloat = (high: Int): Value<'f32'> =>
  high
    .shiftRightSigned(3)
    .and(0x8fffe000 | 0)
    .asFloat()
    .times(halfUnit);

export const pack = kernelModule('pack', (scope) => ({
  packRows4: packRows(4),
  packRows6: packRows(6),
  packRows8: packRows(8),

  /** The same for any strides (bytes) and width; missing rows of the last group are zeros. */
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

  floatPanels: panelsInPlace(scope, packFloats(8)),
  halfPanels: panelsInPlace(scope, packHalves),

  /** Writes 1 to `flag` where one of the floats in `bytes` (a multiple of 16) is not finite, by the masks of `finite.ts`. */
  checkFinite: kernel(
    { at: 'i32', bytes: 'i32', bits: 'i32', one: 'i32', flag: 'i32' },
    (k, { at, bytes, bits, one, flag }) => {
      const [mask, carry] = [bits, one].map((value) => k.let(splat('i32x4', value)));
      const bad = k.let(constant('i32x4', 0));
      const end = k.let(at.plus(bytes));
      k.while(
        () => at.differs(end),
        () => {
          bad.set(bad.or(load.f32x4(at).bits().and(mask).plus(carry)));
          at.add(16);
        },
      );
      const any = bad.lane(0).or(bad.lane(1)).or(bad.lane(2)).or(bad.lane(3));
      k.if(any.and(0x80008000 | 0), () => k.store(flag, constant('i32', 1)));
    },
  ),

  gather: gather(
    32,
    (lane) => lane.shiftLeft(2),
    (address) => load.f32(address),
  ),
  gatherBfloat16: gather(
    16,
    (lane) => lane.shiftLeft(1),
    (address) => load.i16(address).shiftLeft(16).asFloat(),
  ),
  gatherFloat16: gather(
    16,
    (lane) => lane.shiftLeft(1),
    (address) => halfAsFloat(load.i16(address).shiftLeft(16)),
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
