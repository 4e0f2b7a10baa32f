import { constant, load, type Int, type Value } from '../language.js';
import { kernel, kernelModule, type Kernel, type KernelFunction, type ModuleScope, type Variable } from '../kernel.js';
import { grid } from '../loops.js';
import { blockBytes, panelRows, scaleBytes, zeroBytes, type Int4Plan } from '../int4/int4Plan.js';
import { halfScales, splatInt, zeroPoints, zeros } from './int4Scale.js';
import { RunningSum, nibbleDot, wordsOf, type Ints } from './nibbles.js';

/** A panel's vectors of 4 rows, and the bytes of its words of 8 weights. */
const vectors = Array.from({ length: panelRows / 4 }, (_, j) => j);
const stepBytes = 4 * panelRows;

const panelStride = (blocks: Int, groups: Int): Int => blocks.times(blockBytes).plus(groups.times(scaleBytes));

/** `body` for each group of `blocks` blocks: how many of them it has. */
function eachGroup(k: Kernel, blocks: Int, group: Int, body: (count: Variable<'i32'>) => void): void {
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

/** Sum of a group's products as the float it stands for: sum * (x's scale * the weight's). */
const scaled = (sum: Ints, x: Value<'f32x4'>, weight: Value<'f32x4'>): Value<'f32x4'> =>
  sum.toFloat().times(x.times(weight)) as Value<'f32x4'>;

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
  group: 'i32',
  groups: 'i32',
} as const;

/**
 * y[16 panel + lane] for panels [from, to) and one row of activations. A group's integers are summed exactly, from the
 * zero point's share on; groups are added in order, in float32.
 */
const oneRow = (plan: Int4Plan, withZeros: boolean) =>
  kernel(oneRowParameters, (k, { panels, zeros: zeroPanels, x, scales, sums, y, from, to, blocks, group, groups }) => {
    const dot = nibbleDot(k, plan);
    const w = k.let(panels.plus(from.times(panelStride(blocks, groups))));
    const z = k.let(zeroPanels.plus(from.times(groups).times(zeroBytes)));
    const out = k.let(y.plus(from.times(4 * panelRows)));
    k.repeat(to.minus(from), () => {
      const totals = vectors.map(() => k.let(constant('f32x4', 0)));
      const [xAt, scaleAt, sumAt] = [k.let(x), k.let(scales), k.let(sums)];
      eachGroup(k, blocks, group, (count) => {
        const sum = k.let(splatInt(sumAt));
        const starts = withZeros
          ? [0, 8].flatMap((at) => zeroPoints(k, z, at)).map((zero) => zero.times(sum))
          : vectors.map(() => sum.shiftLeft(3));
        const chains = Array.from({ length: plan.rowChains }, (_, chain) =>
          vectors.map((j) => k.let(chain === 0 ? starts[j] : zeros())),
        );
        const end = k.let(w.plus(count.times(blockBytes)));
        k.while(
          () => w.differs(end),
          () => {
            const running = chains.map((chain) => chain.map((total) => new RunningSum(k, dot, total)));
            for (let step = 0; step < plan.rowUnroll; step++) {
              const parts = vectors.map((j) => dot.parts(k.let(load.f32x4(w, stepBytes * step + 16 * j).bits())));
              for (let word = 0; word < dot.words; word++) {
                const activations = k.let(splatInt(xAt, 4 * (dot.words * step + word)));
                running[word % plan.rowChains].forEach((to, j) => to.add(activations, parts[j][word]));
              }
            }
            for (const to of running.flat()) to.settle();
            w.add(stepBytes * plan.rowUnroll);
            xAt.add(4 * dot.words * plan.rowUnroll);
          },
        );
        const scale = k.let(load.f32Splat(scaleAt));
        totals.forEach((total, j) => {
          const exact = chains.slice(1).reduce((all: Ints, chain) => all.plus(chain[j]), chains[0][j]);
          total.add(scaled(exact, scale, halfScales(w, 8 * j)));
        });
        w.add(scaleBytes);
        if (withZeros) z.add(zeroBytes);
        scaleAt.add(4);
        sumAt.add(4);
      });
      totals.forEach((total, j) => k.store(out, total, 16 * j));
      out.add(4 * panelRows);
    });
  });

/** Half a panel (8 rows), unpacked: operands of products [block][step][word][2 vectors], then scales and zeros [groups][8]. */
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
  group: 'i32',
  first: 'i32',
} as const;
type Tile = KernelFunction<typeof tileParameters>;

/** C [rows, 8] = or += A B over some groups of half a panel, unpacked. The same sums in the same order as `oneRow`. */
const tile = (scope: ModuleScope, plan: Int4Plan, rows: number, withZeros: boolean): Tile =>
  scope.function(
    tileParameters,
    (k, { operands, weightScales, weightZeros, x, scales, sums, c, rowStride, blocks, group, first }) => {
      const dot = nibbleDot(k, plan);
      const totals = grid(rows, 2, () => k.let(constant('f32x4', 0)));
      const row = k.let(c);
      k.if(first.equals(0), () =>
        totals.forEach((line) => {
          line.forEach((total, j) => total.set(load.f32x4(row, 16 * j)));
          row.add(rowStride);
        }),
      );
      eachGroup(k, blocks, group, (count) => {
        const zero = withZeros ? [0, 16].map((at) => k.let(load.f32x4(weightZeros, at).bits())) : undefined;
        const accumulators = grid(rows, 2, (i, j) => {
          const sum = splatInt(sums, 4 * i);
          return k.let(zero ? zero[j].times(sum) : sum.shiftLeft(3));
        });
        const end = k.let(operands.plus(count.times(4 * 32 * dot.words)));
        k.while(
          () => operands.differs(end),
          () => {
            const running = grid(rows, 2, (i, j) => new RunningSum(k, dot, accumulators[i][j]));
            for (let word = 0; word < plan.tileUnroll; word++) {
              const parts = [0, 16].map((at) => k.let(load.f32x4(operands, 32 * word + at).bits()));
              running.forEach((line, i) => {
                const activations = k.let(splatInt(x, 4 * (rows * word + i)));
                line.forEach((sum, j) => sum.add(activations, parts[j]));
              });
            }
            for (const sum of running.flat()) sum.settle();
            operands.add(32 * plan.tileUnroll);
            x.add(4 * rows * plan.tileUnroll);
          },
        );
        const weights = [0, 16].map((at) => k.let(load.f32x4(weightScales, at)));
        totals.forEach((line, i) => {
          const scale = k.let(load.f32Splat(scales, 4 * i));
          line.forEach((total, j) => total.add(scaled(accumulators[i][j], scale, weights[j])));
        });
        weightScales.add(32);
        if (withZeros) weightZeros.add(32);
        scales.add(4 * rows);
        sums.add(4 * rows);
      });
      const to = k.let(c);
      for (const line of totals) {
        line.forEach((total, j) => k.store(to, total, 16 * j));
        to.add(rowStride);
      }
    },
  );

/** Unpacks `blocks` blocks of half `half` of a panel at `w`. */
const unpackParameters = {
  w: 'i32',
  half: 'i32',
  z: 'i32',
  operands: 'i32',
  scales: 'i32',
  zeros: 'i32',
  blocks: 'i32',
  group: 'i32',
} as const;

const unpack = (scope: ModuleScope, plan: Int4Plan, withZeros: boolean): KernelFunction<typeof unpackParameters> =>
  scope.function(unpackParameters, (k, { w, half, z, operands, scales, zeros: zerosTo, blocks, group }) => {
    const dot = nibbleDot(k, plan);
    w.add(half.times(stepBytes / 2));
    z.add(half.times(zeroBytes / 2));
    // Scales take half the bytes of words.
    const back = k.let(half.times(stepBytes / 2 - scaleBytes / 2));
    eachGroup(k, blocks, group, (count) => {
      const end = k.let(w.plus(count.times(blockBytes)));
      k.while(
        () => w.differs(end),
        () => {
          const parts = [0, 16].map((at) => dot.parts(k.let(load.f32x4(w, at).bits())));
          parts.forEach((of, j) => of.forEach((part, word) => k.store(operands, part, 32 * word + 16 * j)));
          operands.add(32 * dot.words);
          w.add(stepBytes);
        },
      );
      [0, 1].forEach((j) => k.store(scales, halfScales(w.minus(back), 8 * j), 16 * j));
      if (withZeros) {
        zeroPoints(k, z).forEach((zero, j) => k.store(zerosTo, zero, 16 * j));
        z.add(zeroBytes);
        zerosTo.add(32);
      }
      w.add(scaleBytes);
      scales.add(32);
    });
  });

/**
 * C [rows, panels x 16] = or += A B for panels [from, to) and blocks [done, done + part) of their depth, `rows` being a
 * block's: tiles of `plan.rows`, the last narrower. Each half of a
 * panel is unpacked once, into `scratch`.
 */
function manyRows(scope: ModuleScope, plan: Int4Plan, withZeros: boolean) {
  const unpackHalf = unpack(scope, plan, withZeros);
  const tiles = Array.from({ length: plan.rows }, (_, i) => tile(scope, plan, i + 1, withZeros));
  const words = wordsOf(plan);
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
    group: 'i32',
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
      group,
      groups,
      done,
      part,
      scratch,
    } = p;
    const doneGroups = k.let(done.over(group));
    const unpackedScales = k.let(scratch.plus(part.times(4 * 32 * words)));
    const target: Unpacked = {
      operands: scratch,
      scales: unpackedScales,
      zeros: k.let(unpackedScales.plus(part.shiftLeft(5))),
    };
    const stride = k.let(panelStride(blocks, groups));
    const fullRows = k.let(rows.minus(rows.remainder(plan.rows)));

    const callTile = (halfPanel: Int, row: Int, height: number): void => {
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
        c: c.plus(row.times(rowStride)).plus(halfPanel.shiftLeft(5)),
        rowStride,
        blocks: part,
        group,
        first: done.equals(0),
      });
    };

    k.for(from.times(2), to.times(2), 1, (halfPanel) => {
      const panel = k.let(halfPanel.shiftRight(1));
      k.call(unpackHalf, {
        w: panels.plus(panel.times(stride)).plus(done.times(blockBytes)).plus(doneGroups.times(scaleBytes)),
        half: halfPanel.and(1),
        z: zeroPanels.plus(panel.times(groups).plus(doneGroups).times(zeroBytes)),
        ...target,
        blocks: part,
        group,
      });
      k.for(0, fullRows, plan.rows, (row) => callTile(halfPanel, row, plan.rows));
      for (let height = 1; height < plan.rows; height++)
        k.if(rows.minus(fullRows).equals(height), () => callTile(halfPanel, fullRows, height));
    });
  });
}

/**
 * Products with int4 panels. `group` is blocks a group, `blocks` and `groups` those of a row. Kernels with `Zeros` read
 * zero points [panels][groups][16] bytes, the others take 8 for all.
 */
export const int4Gemm = (plan: Int4Plan) =>
  kernelModule('int4Gemm', (scope) => ({
    oneRow: oneRow(plan, false),
    oneRowZeros: oneRow(plan, true),
    manyRows: manyRows(scope, plan, false),
    manyRowsZeros: manyRows(scope, plan, true),
  }));
