import { kernel, kernelModule, type KernelFunction, type ModuleScope } from '../../compiler/kernel.js';
import { load, type Int } from '../../compiler/language.js';
import { clearRows, grid } from '../../compiler/loops.js';
import { blockBytes, scaleBytes, stepBytes, zeroBytes } from '../../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../../layouts/int4/int4Plan.js';
import { fewRows, oneRow } from './int4Rows.js';
import { halfScales, scaled, splatInt, zeroPoints, zeros } from './int4Scale.js';
import { eachGroup, panelStride, sumUp, tailOf, type Offsets } from './int4Sums.js';
import { nibbleDot, wordsOf, type Ints } from './nibbleDots.js';

/** Where a tile's vectors of columns begin in a row of them, and its length, in bytes. */
const columnsOf = ({ tileVectors }: Int4Plan): { offsets: number[]; bytes: number } => ({
  offsets: Array.from({ length: tileVectors }, (_, j) => 16 * j),
  bytes: 16 * tileVectors,
});

/** Columns of a tile, unpacked: operands of products [block][step][word][vectors], then scales and zeros [groups][vectors]. */
interface Unpacked {
  readonly operands: Int;
  readonly scales: Int;
  readonly zeros: Int;
}

const tileParameters = {
  operands: 'i32',
  weightScales: 'i32',
  weightZeros: 'i32',
  x: 'i32',
  scales: 'i32',
  sums: 'i32',
  c: 'i32',
  rowStride: 'i32',
  blocks: 'i32',
  first: 'i32',
} as const;
type Tile = KernelFunction<typeof tileParameters>;

/**
 * C [rows, 4 x vectors] = or += A B over some groups of unpacked columns. The same sums in the same order as `oneRow`.
 * Integer sums have the registers; as floats they are added to C in memory.
 */
const tile = (scope: ModuleScope, plan: Int4Plan, group: number, rows: number, kind: Offsets): Tile =>
  scope.function(
    tileParameters,
    (k, { operands, weightScales, weightZeros, x, scales, sums, c, rowStride, blocks, first }) => {
      const dot = nibbleDot(k, plan);
      const { offsets, bytes } = columnsOf(plan);
      k.if(first, () => clearRows(k, c, rows, plan.tileVectors, rowStride));
      eachGroup(k, blocks, group, (count) => {
        const starts = (): Ints[][] => {
          if (kind === 'minima') return grid(rows, plan.tileVectors, () => zeros());
          const zero = kind === 'zeros' ? offsets.map((at) => k.let(load.f32x4(weightZeros, at).bits())) : undefined;
          return grid(rows, plan.tileVectors, (i, j) => {
            const sum = splatInt(sums, 4 * i);
            return zero ? zero[j].times(sum) : sum.shiftLeft(3);
          });
        };
        const step = bytes * plan.tileUnroll;
        const stretch = { pointer: operands, count, group, block: 4 * dot.words * bytes, step };
        const accumulators = sumUp(k, dot, stretch, [rows, plan.tileVectors], starts, (running) => {
          for (let word = 0; word < step; word += bytes) {
            const parts = offsets.map((at) => k.let(load.f32x4(operands, word + at).bits()));
            running.forEach((line, i) => {
              const activations = k.let(splatInt(x, 4 * i));
              line.forEach((sum, j) => sum.add(activations, parts[j]));
            });
            x.add(4 * rows);
          }
          operands.add(step);
        });
        const weights = offsets.map((at) => k.let(load.f32x4(weightScales, at)));
        const row = k.let(c);
        // All results are read before any is written. Otherwise the compiler would not pair the vectors, and the
        // processor would take rows a multiple of 4 KiB apart for the same address.
        const totals = accumulators.map((line, i) => {
          const scale = k.let(load.f32Splat(scales, 4 * i));
          if (i > 0) row.add(rowStride);
          return offsets.map((at, j) => {
            const product = load.f32x4(row, at).plus(scaled(line[j], scale, weights[j]));
            if (kind !== 'minima') return k.let(product);
            return k.let(product.plus(scaled(splatInt(sums, 4 * i), scale, load.f32x4(weightZeros, at))));
          });
        });
        row.set(c);
        totals.forEach((line, i) => {
          if (i > 0) row.add(rowStride);
          offsets.forEach((at, j) => k.store(row, line[j], at));
        });
        weightScales.add(bytes);
        if (kind !== 'middle') weightZeros.add(bytes);
        scales.add(4 * rows);
        sums.add(4 * rows);
      });
    },
  );

/** Unpacks `blocks` blocks of the columns of tile `tile` of the panel at `w`. */
const unpackParameters = {
  w: 'i32',
  tile: 'i32',
  z: 'i32',
  operands: 'i32',
  scales: 'i32',
  zeros: 'i32',
  blocks: 'i32',
} as const;

const unpack = (
  scope: ModuleScope,
  plan: Int4Plan,
  group: number,
  kind: Offsets,
): KernelFunction<typeof unpackParameters> =>
  scope.function(unpackParameters, (k, { w, tile, z, operands, scales, zeros: zerosTo, blocks }) => {
    const dot = nibbleDot(k, plan);
    const scalesAt = halfScales(k);
    const { offsets, bytes } = columnsOf(plan);
    w.add(tile.times(bytes));
    z.add(tile.times(bytes / 4));
    // A column has half as many bytes of scales as of words.
    const back = k.let(tile.times(bytes / 2));
    eachGroup(k, blocks, group, (count) => {
      const end = k.let(w.plus(count.times(blockBytes)));
      k.while(
        () => w.differs(end),
        () => {
          const parts = offsets.map((at) => dot.parts(k.let(load.f32x4(w, at).bits())));
          parts.forEach((of, j) => of.forEach((part, word) => k.store(operands, part, bytes * word + 16 * j)));
          operands.add(bytes * dot.words);
          w.add(stepBytes);
        },
      );
      offsets.forEach((at) => k.store(scales, scalesAt(w.minus(back), at / 2), at));
      if (kind === 'zeros') {
        for (let at = 0; at < bytes; at += 32)
          zeroPoints(k, z, at / 4).forEach((zero, j) => k.store(zerosTo, zero, at + 16 * j));
        z.add(zeroBytes);
      }
      if (kind === 'minima')
        offsets.forEach((at) => k.store(zerosTo, scalesAt(w.minus(back), scaleBytes + at / 2), at));
      if (kind !== 'middle') zerosTo.add(bytes);
      w.add(tailOf(kind));
      scales.add(bytes);
    });
  });

/**
 * C [rows, panels x 16] = or += A B for panels [from, to) and blocks [done, done + part) of their depth, `rows` being a
 * block's: tiles of `plan.rows`, the last narrower. A tile's columns of a panel are unpacked once, into `scratch`.
 */
function manyRows(scope: ModuleScope, plan: Int4Plan, group: number, kind: Offsets) {
  const unpackTile = unpack(scope, plan, group, kind);
  const tiles = Array.from({ length: plan.rows }, (_, i) => tile(scope, plan, group, i + 1, kind));
  const words = wordsOf(plan);
  const { bytes } = columnsOf(plan);
  const tilesOfPanel = stepBytes / bytes;
  const parameters = {
    panels: 'i32',
    zeros: 'i32',
    x: 'i32',
    scales: 'i32',
    sums: 'i32',
    c: 'i32',
    rowStride: 'i32',
    rows: 'i32',
    from: 'i32',
    to: 'i32',
    blocks: 'i32',
    groups: 'i32',
    done: 'i32',
    part: 'i32',
    scratch: 'i32',
  } as const;
  return kernel(parameters, (k, p) => {
    const {
      panels,
      zeros: zeroPanels,
      x,
      scales,
      sums,
      c,
      rowStride,
      rows,
      from,
      to,
      blocks,
      groups,
      done,
      part,
      scratch,
    } = p;
    const doneGroups = k.let(done.over(group));
    const unpackedScales = k.let(scratch.plus(part.times(4 * words * bytes)));
    const target: Unpacked = {
      operands: scratch,
      scales: unpackedScales,
      zeros: k.let(unpackedScales.plus(part.times(bytes))),
    };
    const stride = k.let(panelStride(blocks, groups, kind));
    const fullRows = k.let(rows.minus(rows.remainder(plan.rows)));

    const callTile = (column: Int, row: Int, height: number): void => {
      const perGroup = row.times(groups).plus(doneGroups.times(height)).shiftLeft(2);
      k.call(tiles[height - 1], {
        operands: target.operands,
        weightScales: target.scales,
        weightZeros: target.zeros,
        x: x.plus(
          row
            .times(blocks)
            .plus(done.times(height))
            .times(16 * words),
        ),
        scales: scales.plus(perGroup),
        sums: sums.plus(perGroup),
        c: c.plus(row.times(rowStride)).plus(column.times(bytes)),
        rowStride,
        blocks: part,
        first: done.equals(0),
      });
    };

    k.for(from.times(tilesOfPanel), to.times(tilesOfPanel), 1, (column) => {
      const panel = k.let(column.over(tilesOfPanel));
      k.call(unpackTile, {
        w: panels
          .plus(panel.times(stride))
          .plus(done.times(blockBytes))
          .plus(doneGroups.times(tailOf(kind))),
        tile: column.remainder(tilesOfPanel),
        z: zeroPanels.plus(panel.times(groups).plus(doneGroups).times(zeroBytes)),
        ...target,
        blocks: part,
      });
      k.for(0, fullRows, plan.rows, (row) => callTile(column, row, plan.rows));
      for (let height = 1; height < plan.rows; height++)
        k.if(rows.minus(fullRows).equals(height), () => callTile(column, fullRows, height));
    });
  });
}

/**
 * Products with int4 panels in groups of `group` blocks; `blocks` and `groups` are those of a row. Kernels with `Zeros`
 * read zero points [panels][groups][16] bytes, the others take 8 for all.
 */
export const int4Gemm = (plan: Int4Plan, group: number) =>
  kernelModule('int4Gemm', (scope) => ({
    oneRow: oneRow(plan, group, 'middle'),
    oneRowZeros: oneRow(plan, group, 'zeros'),
    fewRows: fewRows(scope, plan, group, 'middle'),
    fewRowsZeros: fewRows(scope, plan, group, 'zeros'),
    manyRows: manyRows(scope, plan, group, 'middle'),
    manyRowsZeros: manyRows(scope, plan, group, 'zeros'),
  }));

/** The same for weights with minima: a module of its own, which few models need. */
export const int4GemmMinima = (plan: Int4Plan, group: number) =>
  kernelModule('int4GemmMinima', (scope) => ({
    oneRow: oneRow(plan, group, 'minima'),
    fewRows: fewRows(scope, plan, group, 'minima'),
    manyRows: manyRows(scope, plan, group, 'minima'),
  }));
