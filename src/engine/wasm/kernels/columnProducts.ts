import { kernel, kernelModule, type Kernel } from '../compiler/kernel.js';
import { constant, load, type Int, type Value } from '../compiler/language.js';
import { grid } from '../compiler/loops.js';

type Double = Value<'f64'>;

/** Rows and columns of a tile of the Gram matrix. */
export const gramTile = 4;

export const gram = kernelModule('gram', (scope) => {
  /** tile [4, 4] = the product of two groups of columns, [rows][4] each, in float64. */
  const product = scope.function({ a: 'i32', b: 'i32', tile: 'i32', rows: 'i32' }, (k, { a, b, tile, rows }) => {
    const sums = grid(gramTile, gramTile / 2, () => k.let(constant('f64x2', 0)));
    k.repeat(rows, () => {
      const columns = sums[0].map((_, j) => k.let(load.f64x2(b, 16 * j)));
      sums.forEach((line, i) => {
        const x = k.let(load.f64Splat(a, 8 * i));
        line.forEach((total, j) => total.add(x.times(columns[j])));
      });
      a.add(8 * gramTile);
      b.add(8 * gramTile);
    });
    sums.flat().forEach((total, i) => k.store(tile, total, 16 * i));
  });
  /** Visits the sums of products of columns [first, first + 4) of one side's groups and [second, second + 4) of another's. */
  const eachSum = (
    k: Kernel,
    {
      left,
      right,
      groupBytes,
      tile,
      rows,
      height,
      width,
    }: Record<'left' | 'right' | 'groupBytes' | 'tile' | 'rows' | 'height' | 'width', Int>,
    first: Int,
    second: Int,
    visit: (row: Int, column: Int, sum: Double) => void,
  ): void => {
    k.call(product, {
      a: left.plus(first.shiftRight(2).times(groupBytes)),
      b: right.plus(second.shiftRight(2).times(groupBytes)),
      tile,
      rows,
    });
    k.for(first, first.plus(gramTile).min(height), 1, (row) =>
      k.for(second, second.plus(gramTile).min(width), 1, (column) =>
        visit(
          row,
          column,
          load.f64(tile.plus(row.minus(first).times(gramTile).plus(column.minus(second)).shiftLeft(3))),
        ),
      ),
    );
  };
  /** into [.., width] at a row and column += value */
  const add = (k: Kernel, into: Int, width: Int, row: Int, column: Int, value: Double): void => {
    const at = k.let(into.plus(row.times(width).plus(column).shiftLeft(3)));
    k.store(at, load.f64(at).plus(value));
  };
  return {
    /** Columns [from, to) of x [rows, width] to groups of 4 in float64, [rows][4] each, with zeros beyond the last. */
    widen: kernel(
      { x: 'i32', groups: 'i32', rows: 'i32', width: 'i32', from: 'i32', to: 'i32' },
      (k, { x, groups, rows, width, from, to }) =>
        k.for(from, to, gramTile, (first) =>
          k.for(0, rows, 1, (row) => {
            for (let j = 0; j < gramTile; j++) {
              const column = first.plus(j);
              k.store(groups, constant('f64', 0));
              k.if(column.less(width), () =>
                k.store(groups, load.f32(x.plus(row.times(width).plus(column).shiftLeft(2))).promoted()),
              );
              groups.add(8);
            }
          }),
        ),
    ),

    /** into [width, width] += X^T X, from groups: rows [from, to) of the upper triangle are computed, and mirrored. */
    gram: kernel(
      { groups: 'i32', tile: 'i32', into: 'i32', rows: 'i32', width: 'i32', from: 'i32', to: 'i32' },
      (k, { groups, tile, into, rows, width, from, to }) => {
        const groupBytes = k.let(rows.times(2 * 4 * gramTile));
        const sides = { left: groups, right: groups, groupBytes, tile, rows, height: width, width };
        k.for(from, to, gramTile, (first) =>
          k.for(first, width, gramTile, (second) =>
            eachSum(k, sides, first, second, (row, column, sum) => {
              const value = k.let(sum);
              add(k, into, width, row, column, value);
              k.if(first.differs(second), () => add(k, into, width, column, row, value));
            }),
          ),
        );
      },
    ),

    /** into [widthA, width] += A^T B, from groups of both: rows [from, to). */
    crossGram: kernel(
      {
        left: 'i32',
        groups: 'i32',
        tile: 'i32',
        into: 'i32',
        rows: 'i32',
        height: 'i32',
        width: 'i32',
        from: 'i32',
        to: 'i32',
      },
      (k, { left, groups, tile, into, rows, height, width, from, to }) => {
        const groupBytes = k.let(rows.times(2 * 4 * gramTile));
        const sides = { left, right: groups, groupBytes, tile, rows, height, width };
        k.for(from, to, gramTile, (first) =>
          k.for(0, width, gramTile, (second) =>
            eachSum(k, sides, first, second, (row, column, sum) => add(k, into, width, row, column, sum)),
          ),
        );
      },
    ),
  };
});
