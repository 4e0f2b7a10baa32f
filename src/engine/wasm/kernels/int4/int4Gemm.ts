import {
  kernel,
  kernelModule,
  type Kernel,
  type KernelFunction,
  type ModuleScope,
  type Variable,
} from '../../compiler/kernel.js';
import { constant, load, type Int } from '../../compiler/language.js';
import { clearRows, grid } from '../../compiler/loops.js';
import {
  blockBytes,
  int4PanelRows,
  panelVectors as vectors,
  scaleBytes,
  stepBytes,
  tailBytes,
  zeroBytes,
} from '../../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../../layouts/int4/int4Plan.js';
import { halfScales, scaled, splatInt, zeroPoints, zeros } from './int4Scale.js';
import { RunningSum, nibbleDot, wordsOf, type Ints, type NibbleDot } from './nibbleDots.js';

/** What each group has beside its scales: a zero point of 8, zero points of its own, or minima. */
type Offsets = 'middle' | 'zeros' | 'minima';

const tailOf = (offsets: Offsets): number => tailBytes(offsets === 'minima');

const panelStride = (blocks: Int, groups: Int, offsets: Offsets): Int =>
  blocks.times(blockBytes).plus(groups.times(tailOf(offsets)));

/** Emits `body` for each group of a row of `blocks` blocks, with the number of blocks in it. */
function eachGroup(k: Kernel, blocks: Int, group: number, body: (count: Int) => void): void {
  if (group === 1) return k.repeat(blocks, () => body(constant('i32', 1)));
  const left = k.let(blocks);
  k.while(
    () => left.differs(0),
    () => {
      const count = k.let(left.min(group));
      body(count);
      left.set(left.minus(count));
    },
  );
}

/** Blocks that a pointer goes over: `count` of them, from 1 to `group`. */
interface Stretch {
  readonly pointer: Variable<'i32'>;
  readonly count: Int;
  readonly group: number;
  /** Bytes of a block, and bytes that one turn of the loop goes over. */
  readonly block: number;
  readonly step: number;
}

/**
 * Sums: `starts` plus all products of `turn`, which moves `pointer`, over a stretch. Sums of 16 bits have room for one
 * block, after which they are added to the totals. There the starts come after the first block, which has the registers
 * to itself.
 */
function sumUp(
  k: Kernel,
  dot: NibbleDot,
  { pointer, count, group, block, step }: Stretch,
  [height, width]: readonly [height: number, width: number],
  starts: () => readonly (readonly Ints[])[],
  turn: (running: readonly (readonly RunningSum[])[]) => void,
): Variable<'i32x4'>[][] {
  const { short } = dot;
  const until = (end: Int, body: () => void): void => k.while(() => pointer.differs(end), body);
  // A single block needs no loop.
  const end = group === 1 && (short || step === block) ? undefined : k.let(pointer.plus(count.times(block)));
  const running = (sum?: (i: number, j: number) => Variable<'i32x4'>): RunningSum[][] =>
    grid(height, width, (i, j) => new RunningSum(k, dot, sum?.(i, j)));
  if (!short) {
    const totals = starts().map((line) => line.map((start) => k.let(start)));
    const sums = (): void => turn(running((i, j) => totals[i][j]));
    if (end) until(end, sums);
    else sums();
    return totals;
  }
  const blockSums = (): RunningSum[][] => {
    const whole = step === block;
    const sums = running(whole ? undefined : () => k.let(zeros()));
    if (whole) turn(sums);
    else until(k.let(pointer.plus(block)), () => turn(sums));
    return sums;
  };
  const first = blockSums();
  const totals = starts().map((line, i) => line.map((start, j) => k.let(short.settle(start, first[i][j].value))));
  if (end)
    until(end, () => {
      const sums = blockSums();
      totals.forEach((line, i) => line.forEach((total, j) => total.set(short.settle(total, sums[i][j].value))));
    });
  return totals;
}

const oneRowParameters = {
  panels: 'i32',
  zeros: 'i32',
  x: 'i32',
  scales: 'i32',
  sums: 'i32',
  y: 'i32',
  from: 'i32',
  to: 'i32',
  blocks: 'i32',
  groups: 'i32',
} as const;

/**
 * y[16 panel + lane] for panels [from, to) and one row of activations. Within a group integers are summed exactly,
 * beginning with the zero point's share; groups are added in order, in float32.
 */
const oneRow = (plan: Int4Plan, group: number, offsets: Offsets) =>
  kernel(oneRowParameters, (k, { panels, zeros: zeroPanels, x, scales, sums, y, from, to, blocks, groups }) => {
    const dot = nibbleDot(k, plan);
    const scalesAt = halfScales(k);
    const w = k.let(panels.plus(from.times(panelStride(blocks, groups, offsets))));
    const z = k.let(zeroPanels.plus(from.times(groups).times(zeroBytes)));
    const out = k.let(y.plus(from.times(4 * int4PanelRows)));
    k.repeat(to.minus(from), () => {
      const totals = vectors.map(() => k.let(constant('f32x4', 0)));
      const [xAt, scaleAt, sumAt] = [k.let(x), k.let(scales), k.let(sums)];
      eachGroup(k, blocks, group, (count) => {
        const starts = (): Ints[][] => {
          if (offsets === 'minima') return grid(plan.rowChains, vectors.length, () => zeros());
          const sum = k.let(splatInt(sumAt));
          const shares =
            offsets === 'zeros'
              ? [0, 8].flatMap((at) => zeroPoints(k, z, at)).map((zero) => zero.times(sum))
              : vectors.map(() => sum.shiftLeft(3));
          return grid(plan.rowChains, vectors.length, (chain, j) => (chain === 0 ? shares[j] : zeros()));
        };
        const step = stepBytes * plan.rowUnroll;
        const stretch = { pointer: w, count, group, block: blockBytes, step };
        const chains = sumUp(k, dot, stretch, [plan.rowChains, vectors.length], starts, (running) => {
          for (let at = 0; at < step; at += stepBytes) {
            const parts = vectors.map((j) => dot.parts(k.let(load.f32x4(w, at + 16 * j).bits())));
            for (let word = 0; word < dot.words; word++) {
              const activations = k.let(splatInt(xAt, 4 * word));
              running[word % plan.rowChains].forEach((to, j) => to.add(activations, parts[j][word]));
            }
            xAt.add(4 * dot.words);
          }
          w.add(step);
        });
        const scale = k.let(load.f32Splat(scaleAt));
        totals.forEach((total, j) => {
          const exact = chains.slice(1).reduce((all: Ints, chain) => all.plus(chain[j]), chains[0][j]);
          total.add(scaled(exact, scale, scalesAt(w, 8 * j)));
          if (offsets === 'minima') total.add(scaled(splatInt(sumAt), scale, scalesAt(w, scaleBytes + 8 * j)));
        });
        w.add(tailOf(offsets));
        if (offsets === 'zeros') z.add(zeroBytes);
        scaleAt.add(4);
        sumAt.add(4);
      });
      totals.forEach((total, j) => k.store(out, total, 16 * j));
      out.add(4 * int4PanelRows);
    });
  });

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
    manyRows: manyRows(scope, plan, group, 'middle'),
    manyRowsZeros: manyRows(scope, plan, group, 'zeros'),
  }));

/** The same for weights with minima: a module of its own, which few models need. */
export const int4GemmMinima = (plan: Int4Plan, group: number) =>
  kernelModule('int4GemmMinima', (scope) => ({
    oneRow: oneRow(plan, group, 'minima'),
    manyRows: manyRows(scope, plan, group, 'minima'),
  }));
