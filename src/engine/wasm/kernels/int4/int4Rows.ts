/** Products of int4 panels with few rows of activations, whose sums have the registers: weights are not unpacked to memory. */
import {
  kernel,
  type Kernel,
  type KernelFunction,
  type Locals,
  type ModuleScope,
  type Variable,
} from '../../compiler/kernel.js';
import { constant, load, type Int, type Kind, type Value } from '../../compiler/language.js';
import { grid } from '../../compiler/loops.js';
import {
  blockBytes,
  int4PanelRows,
  panelVectors as vectors,
  scaleBytes,
  stepBytes,
  zeroBytes,
} from '../../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../../layouts/int4/int4Plan.js';
import { halfScales, scaled, splatInt, zeroPoints, zeros } from './int4Scale.js';
import { eachGroup, panelStride, sumUp, tailOf, type Offsets } from './int4Sums.js';
import { nibbleDot, wordsOf, type Ints } from './nibbleDots.js';

/** A panel's weights and zero points, which move to its end, a tile of rows of activations, and where their results go. */
interface Panel {
  readonly w: Variable<'i32'>;
  readonly z: Variable<'i32'>;
  readonly x: Int;
  readonly scales: Int;
  readonly sums: Int;
  readonly y: Int;
  /** Bytes; unused for a single row. */
  readonly rowStride?: Int;
  readonly blocks: Int;
}

/**
 * Declares constants, before any loop, and gives what emits y[row][lane] of a panel and a tile of `rows` rows. Within a group integers are summed exactly, beginning with the zero point's share; groups are added in
 * order, in float32.
 */
function panelOf(k: Kernel, plan: Int4Plan, group: number, offsets: Offsets, rows: number): (panel: Panel) => void {
  const dot = nibbleDot(k, plan);
  const scalesAt = halfScales(k);
  // The sums of several rows need not wait for each other.
  const chains = rows === 1 ? plan.rowChains : 1;
  /** What all rows use is computed once; for a single row where it is used, which leaves registers to sums. */
  const shared = <K extends Kind>(value: Value<K>): Value<K> => (rows === 1 ? value : k.let(value));
  return ({ w, z, x, scales, sums, y, rowStride, blocks }) => {
    const totals = grid(rows, vectors.length, () => k.let(constant('f32x4', 0)));
    const [xAt, scaleAt, sumAt] = [k.let(x), k.let(scales), k.let(sums)];
    eachGroup(k, blocks, group, (count) => {
      const starts = (): Ints[][] => {
        if (offsets === 'minima') return grid(rows * chains, vectors.length, () => zeros());
        const points = offsets === 'zeros' ? [0, 8].flatMap((at) => zeroPoints(k, z, at)).map(shared) : undefined;
        return Array.from({ length: rows }, (_, i) => {
          const sum = k.let(splatInt(sumAt, 4 * i));
          const shares = vectors.map((j) => (points ? points[j].times(sum) : sum.shiftLeft(3)));
          return grid(chains, vectors.length, (chain, j) => (chain === 0 ? shares[j] : zeros()));
        }).flat();
      };
      const step = stepBytes * plan.rowUnroll;
      const stretch = { pointer: w, count, group, block: blockBytes, step };
      const exact = sumUp(k, dot, stretch, [rows * chains, vectors.length], starts, (running) => {
        for (let at = 0; at < step; at += stepBytes) {
          const parts = vectors.map((j) => dot.parts(k.let(load.f32x4(w, at + 16 * j).bits())));
          for (let word = 0; word < dot.words; word++) {
            const operands = parts.map((of) => shared(of[word]));
            for (let i = 0; i < rows; i++) {
              const activations = k.let(splatInt(xAt, 4 * (word * rows + i)));
              running[i * chains + (word % chains)].forEach((to, j) => to.add(activations, operands[j]));
            }
          }
          xAt.add(4 * dot.words * rows);
        }
        w.add(step);
      });
      const weights = vectors.map((j) => shared(scalesAt(w, 8 * j)));
      const minima = offsets === 'minima' ? vectors.map((j) => shared(scalesAt(w, scaleBytes + 8 * j))) : undefined;
      totals.forEach((line, i) => {
        const scale = k.let(load.f32Splat(scaleAt, 4 * i));
        const [first, ...others] = exact.slice(i * chains, (i + 1) * chains);
        line.forEach((total, j) => {
          total.add(
            scaled(
              others.reduce((sum: Ints, chain) => sum.plus(chain[j]), first[j]),
              scale,
              weights[j],
            ),
          );
          if (minima) total.add(scaled(splatInt(sumAt, 4 * i), scale, minima[j]));
        });
      });
      w.add(tailOf(offsets));
      if (offsets === 'zeros') z.add(zeroBytes);
      scaleAt.add(4 * rows);
      sumAt.add(4 * rows);
    });
    const row = rows === 1 ? undefined : k.let(y);
    totals.forEach((line, i) => {
      if (i > 0) row!.add(rowStride!);
      line.forEach((total, j) => k.store(row ?? y, total, 16 * j));
    });
  };
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

/** Where a panel's weights and its zero points begin. */
const placeOf = (
  k: Kernel,
  {
    panels,
    zeros: zeroPanels,
    blocks,
    groups,
  }: Pick<Locals<typeof oneRowParameters>, 'panels' | 'zeros' | 'blocks' | 'groups'>,
  panel: Int,
  offsets: Offsets,
): Pick<Panel, 'w' | 'z'> => ({
  w: k.let(panels.plus(panel.times(panelStride(blocks, groups, offsets)))),
  z: k.let(zeroPanels.plus(panel.times(groups).times(zeroBytes))),
});

/** y[16 panel + lane] for panels [from, to) and one row of activations. */
export const oneRow = (plan: Int4Plan, group: number, offsets: Offsets) =>
  kernel(oneRowParameters, (k, p) => {
    const compute = panelOf(k, plan, group, offsets, 1);
    const place = placeOf(k, p, p.from, offsets);
    const y = k.let(p.y.plus(p.from.times(4 * int4PanelRows)));
    k.repeat(p.to.minus(p.from), () => {
      compute({ ...p, ...place, y });
      y.add(4 * int4PanelRows);
    });
  });

const tileParameters = {
  w: 'i32',
  z: 'i32',
  x: 'i32',
  scales: 'i32',
  sums: 'i32',
  y: 'i32',
  rowStride: 'i32',
  blocks: 'i32',
} as const;

/**
 * y[row][16 panel + lane] for panels [from, to) and up to `plan.fewRows` rows of activations, results `rowStride` bytes
 * apart, in tiles of `plan.rows`, the last narrower: the same sums in the same order as `oneRow`.
 */
export function fewRows(scope: ModuleScope, plan: Int4Plan, group: number, offsets: Offsets) {
  const tiles = Array.from(
    { length: Math.min(plan.rows, plan.fewRows) },
    (_, i): KernelFunction<typeof tileParameters> =>
      scope.function(tileParameters, (k, p) => panelOf(k, plan, group, offsets, i + 1)(p)),
  );
  return kernel({ ...oneRowParameters, rowStride: 'i32', rows: 'i32' }, (k, p) => {
    const { x, scales, sums, y, rowStride, rows, from, to, blocks, groups } = p;
    k.for(from, to, 1, (panel) => {
      const place = placeOf(k, p, panel, offsets);
      const callTile = (row: Int, height: number): void => {
        const perGroup = k.let(row.times(groups).shiftLeft(2));
        k.call(tiles[height - 1], {
          ...place,
          x: x.plus(row.times(blocks).times(16 * wordsOf(plan))),
          scales: scales.plus(perGroup),
          sums: sums.plus(perGroup),
          y: y.plus(row.times(rowStride)).plus(panel.times(4 * int4PanelRows)),
          rowStride,
          blocks,
        });
      };
      const row = k.let(constant('i32', 0));
      k.while(
        () => rows.minus(row).atLeast(tiles.length),
        () => {
          callTile(row, tiles.length);
          row.add(tiles.length);
        },
      );
      for (let height = 1; height < tiles.length; height++)
        k.if(rows.minus(row).equals(height), () => callTile(row, height));
    });
  });
}
