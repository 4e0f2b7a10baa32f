import { constant, load, type Int } from '../language.js';
import { kernel, kernelModule, type KernelFunction, type ModuleScope, type Variable } from '../kernel.js';
import { grid } from '../loops.js';
import type { TilePlan } from '../tilePlan.js';

const tileParameters = { a: 'i32', b: 'i32', panelStride: 'i32', c: 'i32', rowStride: 'i32', depth: 'i32', first: 'i32' } as const;
type Tile = KernelFunction<typeof tileParameters>;

/**
 * C [rows, panels x 8] = or += A B over `depth`: A as [depth][rows], each panel of B as [depth][8]. One sum a result,
 * in order of depth. The inner loop is rolled: unrolled ones make some compilers spill.
 */
function tile(scope: ModuleScope, plan: TilePlan, rows: number, panels: number): Tile {
  const vectors = plan.panel / 4;
  return scope.function(tileParameters, (k, { a, b, panelStride, c, rowStride, depth, first }) => {
    const sums = grid(rows, panels * vectors, () => k.let(constant('f32x4', 0)));
    const panel: Variable<'i32'>[] = [b];
    for (let p = 1; p < panels; p++) panel.push(k.let(panel[p - 1].plus(panelStride)));
    const end = k.let(b.plus(depth.times(4 * plan.panel)));
    k.while(
      () => b.differs(end),
      () => {
        const loads = sums[0].map((_, j) => load.f32x4(panel[Math.floor(j / vectors)], 16 * (j % vectors)));
        // What several rows use is loaded once; what one row uses, where it is used: the registers go to sums.
        const columns = rows === 1 ? loads : loads.map((column) => k.let(column));
        for (let i = 0; i < rows; i++) {
          const x = k.let(load.f32Splat(a, 4 * i));
          columns.forEach((column, j) => sums[i][j].add(x.times(column)));
        }
        a.add(4 * rows);
        for (const at of panel) at.add(4 * plan.panel);
      },
    );
    const write = (add: boolean): void => {
      const row = k.let(c);
      for (const line of sums) {
        line.forEach((total, j) => k.store(row, add ? load.f32x4(row, 16 * j).plus(total) : total, 16 * j));
        row.add(rowStride);
      }
    };
    k.if(first, () => write(false), () => write(true));
  });
}

/**
 * C [rows, panels x 8] = A B. A is packed in tiles of `plan.rows` rows, [depth][rows] each, the last narrower; B in
 * panels [depth][8]. The depth is summed in parts of `part`, the first `phase` shorter, which then join the result in
 * order.
 */
export const gemm = (plan: TilePlan) =>
  kernelModule('gemm', (scope) => {
    const tiles = Array.from({ length: plan.rows }, (_, i) => tile(scope, plan, i + 1, 1));
    const wide = tile(scope, plan, 1, plan.rowPanels);
    const parameters = { a: 'i32', b: 'i32', c: 'i32', rows: 'i32', depth: 'i32', from: 'i32', to: 'i32', panelStride: 'i32', rowStride: 'i32', part: 'i32', phase: 'i32' } as const;
    return {
      gemm: kernel(parameters, (k, { a, b, c, rows, depth, from, to, panelStride, rowStride, part, phase }) => {
        const done = k.let(constant('i32', 0));
        const current = k.let(constant('i32', 0));
        const fullRows = k.let(rows.minus(rows.remainder(plan.rows)));
        const panelBytes = 4 * plan.panel;

        /** A tile at a row and a panel. */
        const at = (row: Int, panel: Int, height: number): Omit<{ [N in keyof typeof tileParameters]: Int }, never> => ({
          a: a.plus(row.times(depth).plus(done.times(height)).times(4)),
          b: b.plus(panel.times(panelStride)).plus(done.times(panelBytes)),
          panelStride,
          c: c.plus(row.times(rowStride)).plus(panel.times(panelBytes)),
          rowStride,
          depth: current,
          first: done.equals(0),
        });

        const oneRow = (): void => {
          const panel = k.let(from);
          const step = (callee: Tile, panels: number): void =>
            k.while(
              () => panel.plus(panels - 1).less(to),
              () => {
                k.call(callee, at(constant('i32', 0), panel, 1));
                panel.add(panels);
              },
            );
          step(wide, plan.rowPanels);
          step(tiles[0], 1);
        };

        const manyRows = (): void =>
          k.for(from, to, 1, (panel) => {
            k.for(0, fullRows, plan.rows, (row) => k.call(tiles[plan.rows - 1], at(row, panel, plan.rows)));
            for (let height = 1; height < plan.rows; height++)
              k.if(rows.minus(fullRows).equals(height), () => k.call(tiles[height - 1], at(fullRows, panel, height)));
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
