import { constant, load, type Int } from '../language.js';
import { kernel, kernelModule, type KernelFunction, type ModuleScope, type Variable } from '../kernel.js';
import { grid } from '../loops.js';
import type { TilePlan } from '../tilePlan.js';

const tileParameters = { a: 'i32', b: 'i32', panelStride: 'i32', sums: 'i32', depth: 'i32' } as const;
const joinParameters = { sums: 'i32', c: 'i32', rowStride: 'i32', first: 'i32' } as const;

/** A tile of `rows` rows and `panels` panels. */
interface Tile {
  readonly panels: number;
  readonly multiply: KernelFunction<typeof tileParameters>;
  readonly join: KernelFunction<typeof joinParameters>;
}

/**
 * sums [rows, panels x 8] = A B over `depth`: A as [depth][rows], each panel of B as [depth][8]. One sum a result, in order
 * of depth. The inner loop is rolled (unrolled, its loads move to the top and spill the sums), and joining the result is
 * a function of its own: with it in here, compilers allot registers to the loop a fifth worse.
 */
const multiply = (scope: ModuleScope, plan: TilePlan, rows: number, panels: number): Tile['multiply'] =>
  scope.function(tileParameters, (k, { a, b, panelStride, sums, depth }) => {
    const vectors = plan.panel / 4;
    const totals = grid(rows, panels * vectors, () => k.let(constant('f32x4', 0)));
    const panel: Variable<'i32'>[] = [b];
    for (let p = 1; p < panels; p++) panel.push(k.let(panel[p - 1].plus(panelStride)));
    const end = k.let(b.plus(depth.times(4 * plan.panel)));
    k.while(
      () => b.differs(end),
      () => {
        const loads = totals[0].map((_, j) => load.f32x4(panel[Math.floor(j / vectors)], 16 * (j % vectors)));
        // What several rows use is loaded once; what one row uses, where it is used: the registers go to sums.
        const columns = rows === 1 ? loads : loads.map((column) => k.let(column));
        for (let i = 0; i < rows; i++) {
          const x = k.let(load.f32Splat(a, 4 * i));
          columns.forEach((column, j) => totals[i][j].add(x.times(column)));
        }
        a.add(4 * rows);
        for (const at of panel) at.add(4 * plan.panel);
      },
    );
    totals.flat().forEach((total, at) => k.store(sums, total, 16 * at));
  });

/** C = sums where they are the first of its parts, else C += sums. */
const join = (scope: ModuleScope, plan: TilePlan, rows: number, panels: number): Tile['join'] =>
  scope.function(joinParameters, (k, { sums, c, rowStride, first }) => {
    const vectors = (panels * plan.panel) / 4;
    const write = (add: boolean): void => {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < vectors; j++) {
          const total = load.f32x4(sums, 16 * (i * vectors + j));
          k.store(c, add ? load.f32x4(c, 16 * j).plus(total) : total, 16 * j);
        }
        c.add(rowStride);
      }
    };
    k.if(first, () => write(false), () => write(true));
  });

/**
 * C [rows, panels x 8] = A B. A is packed in tiles of `plan.rows` rows, [depth][rows] each, the last narrower; B in
 * panels [depth][8]. The depth is summed in parts of `part`, the first `phase` shorter, which then join the result in
 * order. `sums` has room for a tile.
 */
export const gemm = (plan: TilePlan) =>
  kernelModule('gemm', (scope) => {
    const tile = (rows: number, panels: number): Tile => ({ panels, multiply: multiply(scope, plan, rows, panels), join: join(scope, plan, rows, panels) });
    const tiles = Array.from({ length: plan.rows }, (_, i) => tile(i + 1, 1));
    const wide = tile(1, plan.rowPanels);
    const panelBytes = 4 * plan.panel;
    const parameters = {
      a: 'i32', b: 'i32', c: 'i32', rows: 'i32', depth: 'i32', from: 'i32', to: 'i32', panelStride: 'i32', rowStride: 'i32',
      part: 'i32', phase: 'i32', sums: 'i32',
    } as const;
    return {
      gemm: kernel(parameters, (k, { a, b, c, rows, depth, from, to, panelStride, rowStride, part, phase, sums }) => {
        const done = k.let(constant('i32', 0));
        const current = k.let(constant('i32', 0));
        const fullRows = k.let(rows.minus(rows.remainder(plan.rows)));

        const compute = ({ multiply, join }: Tile, row: Int, panel: Int, height: number): void => {
          k.call(multiply, {
            a: a.plus(row.times(depth).plus(done.times(height)).times(4)),
            b: b.plus(panel.times(panelStride)).plus(done.times(panelBytes)),
            panelStride,
            sums,
            depth: current,
          });
          k.call(join, { sums, c: c.plus(row.times(rowStride)).plus(panel.times(panelBytes)), rowStride, first: done.equals(0) });
        };

        const oneRow = (): void => {
          const panel = k.let(from);
          for (const step of [wide, tiles[0]])
            k.while(
              () => panel.plus(step.panels - 1).less(to),
              () => {
                compute(step, constant('i32', 0), panel, 1);
                panel.add(step.panels);
              },
            );
        };

        const manyRows = (): void =>
          k.for(from, to, 1, (panel) => {
            k.for(0, fullRows, plan.rows, (row) => compute(tiles[plan.rows - 1], row, panel, plan.rows));
            for (let height = 1; height < plan.rows; height++)
              k.if(rows.minus(fullRows).equals(height), () => compute(tiles[height - 1], fullRows, panel, height));
          });

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
