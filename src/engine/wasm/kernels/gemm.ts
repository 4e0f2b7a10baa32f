import { bytesPerElement, type WeightDType } from '../../weight.js';
import {
  kernel,
  kernelModule,
  type Kernel,
  type KernelFunction,
  type ModuleScope,
  type Variable,
} from '../compiler/kernel.js';
import { constant, load, multiplyAddIf, shuffle, type Int, type Value } from '../compiler/language.js';
import { clearRows, grid } from '../compiler/loops.js';
import { panelRows } from '../layouts/panels.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { halfUnit, scaledHalves } from './float16.js';

/** Bytes of a panel's row. */
const rowBytes = (stored: WeightDType): number => bytesPerElement[stored] * panelRows;

/** How a kernel reads a panel's row of elements as vectors of floats. */
interface Reader {
  /** The row's elements, divided by `unit` squared. */
  readonly row: (address: Int, offset?: number) => Value<'f32x4'>[];
  readonly unit: number;
}

/**
 * How a panel's row is read. A bfloat16 is the upper half of a float32, so zeros go below it: where vectors are paired,
 * a widening load does that for eight at once; else one load and two shuffles are fewer instructions.
 *
 * A float16 is read with its own exponent bias (see `scaledHalves`), which makes it too small by `unit` squared. Inputs
 * and sums are multiplied by `unit` each to make up for that, so that neither leaves the range of float32. Weights hold
 * no infinity and no NaN.
 */
function reader(k: Kernel, plan: TilePlan, stored: WeightDType): Reader {
  const vectors = Array.from({ length: panelRows / 4 }, (_, j) => j);
  if (stored === 'float32')
    return { row: (at, offset = 0) => vectors.map((j) => load.f32x4(at, offset + 16 * j)), unit: 1 };
  if (stored === 'float16') {
    const read = scaledHalves(k);
    return { row: (at, offset = 0) => vectors.map((j) => read(at, offset + 8 * j)), unit: Math.sqrt(halfUnit) };
  }
  if (plan.panels === 2)
    return {
      row: (at, offset = 0) =>
        vectors.map((j) =>
          load
            .i16x4(at, offset + 8 * j)
            .shiftLeft(16)
            .asFloat(),
        ),
      unit: 1,
    };
  const zeros = k.let(constant('f32x4', 0));
  const row = (at: Int, offset = 0): Value<'f32x4'>[] => {
    const halves = k.let(load.f32x4(at, offset));
    return vectors.map((j) => shuffle(zeros, halves, interleaved(8 * j)));
  };
  return { row, unit: 1 };
}

/** Places of bytes that take two from each of two vectors in turn, from byte `from` on. */
const interleaved = (from: number): number[] =>
  [0, 2, 4, 6].flatMap((at) => [0, 1, 16, 17].map((byte) => from + at + byte));

const tileParameters = {
  a: 'i32',
  b: 'i32',
  panelStride: 'i32',
  c: 'i32',
  rowStride: 'i32',
  first: 'i32',
  depth: 'i32',
} as const;

/** A tile of `rows` rows and `panels` panels. */
interface Tile {
  readonly panels: number;
  readonly multiply: KernelFunction<typeof tileParameters>;
}

/**
 * C [rows, panels x 8] = or += A B over `depth`: A as [depth][rows], each panel of B as [depth][8]. Each result is a
 * single sum in order of depth, which is then added to C. Not unrolled for compilers that load everything at the top of
 * a loop: they would have no registers left for the sums.
 */
const multiply = (
  scope: ModuleScope,
  plan: TilePlan,
  rows: number,
  panels: number,
  stored: WeightDType,
): Tile['multiply'] =>
  scope.function(tileParameters, (k, { a, b, panelStride, c, rowStride, first, depth }) => {
    const vectors = panelRows / 4;
    k.if(first, () => clearRows(k, c, rows, panels * vectors, rowStride));
    const sumUp = multiplyAddIf(plan.fused);
    const totals = grid(rows, panels * vectors, () => k.let(constant('f32x4', 0)));
    const panel: Variable<'i32'>[] = [b];
    for (let p = 1; p < panels; p++) panel.push(k.let(panel[p - 1].plus(panelStride)));
    const end = k.let(a.plus(depth.times(4 * rows)));
    const { row, unit } = reader(k, plan, stored);
    const scale = unit === 1 ? undefined : k.let(constant('f32x4', unit));
    const scaled = (value: Value<'f32x4'>): Value<'f32x4'> => (scale ? value.times(scale) : value);
    /** Loops until `a` is at `until`, `count` steps of the depth a turn. */
    const steps = (count: number, until: Int): void =>
      k.while(
        () => a.differs(until),
        () => {
          for (let step = 0; step < count; step++) {
            const loads = panel.flatMap((at) => row(at, step * rowBytes(stored)));
            // Columns for several rows are loaded once; for a single row they are loaded where they are used, which
            // leaves registers to sums.
            const columns = rows === 1 ? loads : loads.map((column) => k.let(column));
            for (let i = 0; i < rows; i++) {
              const x = k.let(scaled(load.f32Splat(a, 4 * i)));
              columns.forEach((column, j) => {
                totals[i][j].set(sumUp(x, column, totals[i][j]));
              });
            }
            a.add(4 * rows);
          }
          for (const at of panel) at.add(count * rowBytes(stored));
        },
      );
    if (plan.unroll > 1 && rows === plan.rows)
      steps(plan.unroll, k.let(end.minus(depth.remainder(plan.unroll).times(4 * rows))));
    steps(1, end);
    for (const line of totals) {
      const sums = line.map((total, j) => k.let(load.f32x4(c, 16 * j).plus(scaled(total))));
      sums.forEach((sum, j) => k.store(c, sum, 16 * j));
      c.add(rowStride);
    }
  });

const widenParameters = { source: 'i32', target: 'i32', depth: 'i32' } as const;

/** Rows of a 16-bit panel as float32. */
const widen = (scope: ModuleScope, plan: TilePlan, stored: WeightDType): KernelFunction<typeof widenParameters> =>
  scope.function(widenParameters, (k, { source, target, depth }) => {
    const { row, unit } = reader(k, plan, stored);
    k.repeat(depth, () => {
      row(source).forEach((column, j) => k.store(target, unit === 1 ? column : column.times(unit ** 2), 16 * j));
      source.add(rowBytes(stored));
      target.add(rowBytes('float32'));
    });
  });

/**
 * C [rows, panels x 8] = A B. A is packed in tiles of `plan.rows` rows, [depth][rows] each, the last narrower; B in
 * panels [depth][8], as `stored`. The depth is summed in parts of `part` elements, the first shorter by `phase`, which
 * are added to the result in order. `wide` has room for a part of a tile's panels in float32.
 *
 * Many rows use a 16-bit panel that was widened there first; one row widens as it goes, since it reads each element
 * once.
 */
const makeGemm = (plan: TilePlan, stored: WeightDType) =>
  kernelModule(`gemm of ${stored}`, (scope) => {
    const tile = (rows: number, panels: number, of: WeightDType): Tile => ({
      panels,
      multiply: multiply(scope, plan, rows, panels, of),
    });
    // By panels, most first, then by rows.
    const tiles = (plan.panels === 2 ? [2, 1] : [1]).map((panels) =>
      Array.from({ length: plan.rows }, (_, i) => tile(i + 1, panels, 'float32')),
    );
    const rowTiles = [
      tile(1, plan.rowPanels, stored),
      stored === 'float32' ? tiles[tiles.length - 1][0] : tile(1, 1, stored),
    ];
    const widened = stored === 'float32' ? undefined : widen(scope, plan, stored);
    const parameters = {
      a: 'i32',
      b: 'i32',
      c: 'i32',
      rows: 'i32',
      depth: 'i32',
      from: 'i32',
      to: 'i32',
      panelStride: 'i32',
      rowStride: 'i32',
      part: 'i32',
      phase: 'i32',
      wide: 'i32',
    } as const;
    return {
      gemm: kernel(parameters, (k, { a, b, c, rows, depth, from, to, panelStride, rowStride, part, phase, wide }) => {
        const done = k.let(constant('i32', 0));
        const current = k.let(constant('i32', 0));
        const fullRows = k.let(rows.minus(rows.remainder(plan.rows)));
        const panelAt = (panel: Int): Int => b.plus(panel.times(panelStride)).plus(done.times(rowBytes(stored)));

        const compute = ({ multiply }: Tile, row: Int, height: number, panel: Int, right: Int, stride: Int): void => {
          const left = a.plus(row.times(depth).plus(done.times(height)).times(4));
          k.call(multiply, {
            a: left,
            b: right,
            panelStride: stride,
            c: c.plus(row.times(rowStride)).plus(panel.times(4 * panelRows)),
            rowStride,
            first: done.equals(0),
            depth: current,
          });
        };

        const oneRow = (): void => {
          const panel = k.let(from);
          for (const step of rowTiles)
            k.while(
              () => panel.plus(step.panels - 1).less(to),
              () => {
                compute(step, constant('i32', 0), 1, panel, panelAt(panel), panelStride);
                panel.add(step.panels);
              },
            );
        };

        const manyRows = (): void => {
          const panel = k.let(from);
          for (const sizes of tiles)
            k.while(
              () => panel.plus(sizes[0].panels - 1).less(to),
              () => block(sizes, panel),
            );
        };

        /** Computes all rows for the panels of one tile. */
        const block = (sizes: readonly Tile[], panel: Variable<'i32'>): void => {
          const { panels } = sizes[0];
          const right = widened ? wide : k.let(panelAt(panel));
          const stride = widened ? k.let(current.times(rowBytes('float32'))) : panelStride;
          if (widened)
            for (let p = 0; p < panels; p++)
              k.call(widened, { source: panelAt(panel.plus(p)), target: wide.plus(stride.times(p)), depth: current });
          k.for(0, fullRows, plan.rows, (row) => compute(sizes[plan.rows - 1], row, plan.rows, panel, right, stride));
          for (let height = 1; height < plan.rows; height++)
            k.if(rows.minus(fullRows).equals(height), () =>
              compute(sizes[height - 1], fullRows, height, panel, right, stride),
            );
          panel.add(panels);
        };

        k.while(
          () => done.less(depth),
          () => {
            current.set(depth.minus(done).min(k.let(part.minus(phase))));
            phase.set(0);
            k.if(rows.equals(1), oneRow, manyRows);
            done.add(current);
          },
        );
      }),
    };
  });

const made = new Map<TilePlan, Map<WeightDType, ReturnType<typeof makeGemm>>>();

/** The kernels of a plan, made once a process. */
export function gemm(plan: TilePlan, stored: WeightDType): ReturnType<typeof makeGemm> {
  const ofPlan = made.get(plan) ?? new Map<WeightDType, ReturnType<typeof makeGemm>>();
  made.set(plan, ofPlan);
  const found = ofPlan.get(stored) ?? makeGemm(plan, stored);
  ofPlan.set(stored, found);
  return found;
}
