import {
  kernel,
  kernelModule,
  type Kernel,
  type KernelFunction,
  type ModuleScope,
  type Variable,
} from '../../compiler/kernel.js';
import { constant, load, shuffle, type Int } from '../../compiler/language.js';
import { clearRows, grid } from '../../compiler/loops.js';
import {
  groupBytes,
  int8PanelRows,
  panelVectors as vectors,
  scaleBytes,
  stepBytes,
} from '../../layouts/int8/int8Panels.js';
import type { TilePlan } from '../../layouts/tilePlan.js';
import { halfScales, scaled, splatInt, zeros } from '../int4/int4Scale.js';
import { dotPairs } from '../int4/nibbleDots.js';
import type { IntegerForm } from '../quantizeRows.js';

/**
 * Activations of 16 bits, two to a word: so exact that products are those of floats up to 2^-16 of a group's largest, and
 * as fast as 8 bits would be where weights come from memory. Every processor multiplies them by signed bytes, once these
 * are widened, while products of bytes take one side of 7 bits. A group of 32 sums to less than 2^31.
 */
export const pairForm = (groupSize: number): IntegerForm => ({
  name: 'int8Quantize',
  most: 32767,
  padding: groupSize,
  arrangement: () => ({ words: 4, factor: 1, arrange: (low, high) => shuffle(low, high, lowerHalves) }),
});

const lowerHalves = [0, 4, 8, 12, 16, 20, 24, 28].flatMap((at) => [at, at + 1]);

/** Rows of a tile. With 6, as tiles of floats have, sums leave too few registers: 0.85 times as fast. */
export const tileRows = 4;

/**
 * Integer sums [rows][at] of a group's products, for columns at `w` plus each of `at` bytes. Moves w and x, which has a
 * word of each row for each step, to the group's end.
 */
function groupSums(
  k: Kernel,
  w: Variable<'i32'>,
  x: Variable<'i32'>,
  groupSize: number,
  [rows, at, unroll]: readonly [rows: number, at: readonly number[], unroll: number],
): Variable<'i32x4'>[][] {
  const sums = grid(rows, at.length, () => k.let(zeros()));
  const end = k.let(w.plus((groupSize / 2) * stepBytes));
  k.while(
    () => w.differs(end),
    () => {
      for (let step = 0; step < unroll; step++) {
        const loads = at.map((column) => load.i8x8Signed(w, step * stepBytes + column));
        // As in `gemm`: for several rows they are loaded once, for one where they are used.
        const weights = rows === 1 ? loads : loads.map((pairs) => k.let(pairs));
        for (let i = 0; i < rows; i++) {
          const pair = k.let(splatInt(x, 4 * (step * rows + i)));
          weights.forEach((of, j) => sums[i][j].add(dotPairs(of, pair)));
        }
      }
      w.add(unroll * stepBytes);
      x.add(4 * unroll * rows);
    },
  );
  return sums;
}

/**
 * y[16 panel + lane] for panels [from, to) and one row of activations. Within a group integers are summed exactly; groups
 * are added in order, in float32.
 */
const oneRow = (plan: TilePlan, groupSize: number) =>
  kernel(
    { panels: 'i32', x: 'i32', scales: 'i32', y: 'i32', from: 'i32', to: 'i32', groups: 'i32' },
    (k, { panels, x, scales, y, from, to, groups }) => {
      const scalesAt = halfScales(k);
      const w = k.let(panels.plus(from.times(groups).times(groupBytes(groupSize))));
      const out = k.let(y.plus(from.times(4 * int8PanelRows)));
      const at = vectors.map((j) => 8 * j);
      k.repeat(to.minus(from), () => {
        const totals = vectors.map(() => k.let(constant('f32x4', 0)));
        const [xAt, scaleAt] = [k.let(x), k.let(scales)];
        k.repeat(groups, () => {
          const [sums] = groupSums(k, w, xAt, groupSize, [1, at, plan.unroll]);
          const scale = k.let(load.f32Splat(scaleAt));
          totals.forEach((total, j) => total.add(scaled(sums[j], scale, scalesAt(w, at[j]))));
          w.add(scaleBytes);
          scaleAt.add(4);
        });
        totals.forEach((total, j) => k.store(out, total, 16 * j));
        out.add(4 * int8PanelRows);
      });
    },
  );

const tileParameters = {
  w: 'i32',
  x: 'i32',
  scales: 'i32',
  c: 'i32',
  rowStride: 'i32',
  groups: 'i32',
  first: 'i32',
} as const;
type Tile = KernelFunction<typeof tileParameters>;

/**
 * C [rows, columns of a tile] = or += A B over some groups of the columns of a panel that begin at w. The same sums in the
 * same order as `oneRow`. Integer sums have the registers; as floats they are added to C in memory.
 */
const tile = (scope: ModuleScope, plan: TilePlan, groupSize: number, rows: number): Tile =>
  scope.function(tileParameters, (k, { w, x, scales, c, rowStride, groups, first }) => {
    const scalesAt = halfScales(k);
    const columns = vectors.slice(0, tileVectors(plan));
    const at = columns.map((j) => 8 * j);
    k.if(first, () => clearRows(k, c, rows, columns.length, rowStride));
    k.repeat(groups, () => {
      const sums = groupSums(k, w, x, groupSize, [rows, at, rows === tileRows ? plan.unroll : 1]);
      const weights = at.map((column) => k.let(scalesAt(w, column)));
      const row = k.let(c);
      // All results are read before any is written: see `int4Gemm`.
      const totals = sums.map((line, i) => {
        const scale = k.let(load.f32Splat(scales, 4 * i));
        if (i > 0) row.add(rowStride);
        return columns.map((j) => k.let(load.f32x4(row, 16 * j).plus(scaled(line[j], scale, weights[j]))));
      });
      row.set(c);
      totals.forEach((line, i) => {
        if (i > 0) row.add(rowStride);
        columns.forEach((j) => k.store(row, line[j], 16 * j));
      });
      w.add(scaleBytes);
      scales.add(4 * rows);
    });
  });

/** Vectors of a tile, which has as many columns as one of floats: half a panel, or all of it. */
const tileVectors = (plan: TilePlan): number => 2 * plan.panels;

/**
 * C [rows, panels x 16] = or += A B for panels [from, to) and groups [done, done + part) of their depth: tiles of
 * 4 rows, the last narrower.
 */
function manyRows(scope: ModuleScope, plan: TilePlan, groupSize: number) {
  const tiles = Array.from({ length: tileRows }, (_, i) => tile(scope, plan, groupSize, i + 1));
  const columns = tileVectors(plan);
  const tilesOfPanel = vectors.length / columns;
  const parameters = {
    panels: 'i32',
    x: 'i32',
    scales: 'i32',
    c: 'i32',
    rowStride: 'i32',
    rows: 'i32',
    from: 'i32',
    to: 'i32',
    groups: 'i32',
    done: 'i32',
    part: 'i32',
  } as const;
  return kernel(parameters, (k, { panels, x, scales, c, rowStride, rows, from, to, groups, done, part }) => {
    const fullRows = k.let(rows.minus(rows.remainder(tileRows)));
    k.for(from.times(tilesOfPanel), to.times(tilesOfPanel), 1, (column) => {
      const group = column.over(tilesOfPanel).times(groups).plus(done);
      const offset = column.remainder(tilesOfPanel).times(8 * columns);
      const w = k.let(panels.plus(group.times(groupBytes(groupSize))).plus(offset));
      const callTile = (row: Int, height: number): void => {
        const before = k.let(row.times(groups).plus(done.times(height)));
        k.call(tiles[height - 1], {
          w,
          x: x.plus(before.times(2 * groupSize)),
          scales: scales.plus(before.shiftLeft(2)),
          c: c.plus(row.times(rowStride)).plus(column.times(16 * columns)),
          rowStride,
          groups: part,
          first: done.equals(0),
        });
      };
      k.for(0, fullRows, tileRows, (row) => callTile(row, tileRows));
      for (let height = 1; height < tileRows; height++)
        k.if(rows.minus(fullRows).equals(height), () => callTile(fullRows, height));
    });
  });
}

/** Products with int8 panels in groups of `groupSize` weights; `groups` are those of a row. */
export const int8Gemm = (plan: TilePlan, groupSize: number) =>
  kernelModule('int8Gemm', (scope) => ({
    oneRow: oneRow(plan, groupSize),
    manyRows: manyRows(scope, plan, groupSize),
  }));
