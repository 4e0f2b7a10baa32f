/** Sums over panels of keys or values, a few queries at a time, as one token's attention needs them. */
import { touchLines } from '../compiler/atomics.js';
import type { Kernel, Variable } from '../compiler/kernel.js';
import { constant, load, multiplyAddIf, type Int, type Value } from '../compiler/language.js';
import { grid } from '../compiler/loops.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { halfUnit, scaledHalves } from './float16.js';

/** What kernels are specialised by. */
export interface DecodeShape {
  readonly plan: TilePlan;
  /** Query heads that share a key-value head. */
  readonly group: number;
  readonly stored: 'float32' | 'float16';
  /** Whether scores have slopes. */
  readonly sloped?: boolean;
}

type Row = (address: Int, offset: number) => Value<'f32x4'>;

/**
 * The factor by which elements are read too small (see `scaledHalves`); what they are multiplied with makes up for it.
 * Infinities read as 65536.
 */
export const unitOf = (stored: DecodeShape['stored']): number => (stored === 'float16' ? halfUnit : 1);

/** Reads four elements of a panel. */
export const reader = (k: Kernel, stored: DecodeShape['stored']): Row =>
  stored === 'float16' ? scaledHalves(k) : (address, offset) => load.f32x4(address, offset);

/**
 * For `panels` neighbouring panels of 8 columns, [count][8] elements each: sums over `count` of x[row][i] * panel[i][column],
 * for rows `rowStride` bytes apart.
 */
export function panelSums(
  k: Kernel,
  { plan, stored }: DecodeShape,
  x: Int,
  rows: number,
  rowStride: number,
  panels: readonly Int[],
  count: Int,
  read: Row,
): Variable<'f32x4'>[][] {
  const sumUp = multiplyAddIf(plan.fused);
  const sums = grid(rows, 2 * panels.length, () => k.let(constant('f32x4', 0)));
  // One pointer for each row: compilers then share the address arithmetic of all steps.
  const values = sums.map((_, row) => k.let(x.plus(row * rowStride)));
  const pointers = panels.map((panel) => k.let(panel));
  const vectorBytes = stored === 'float16' ? 8 : 16;
  const steps = (unroll: number, turns: Int): void =>
    k.repeat(turns, () => {
      for (let step = 0; step < unroll; step++) {
        const at = 2 * step * vectorBytes;
        const columns = pointers.flatMap((pointer) => [at, at + vectorBytes].map((of) => k.let(read(pointer, of))));
        sums.forEach((of, row) => {
          const value = k.let(load.f32Splat(values[row], 4 * step));
          of.forEach((total, column) => total.set(sumUp(value, columns[column], total)));
        });
      }
      for (const value of values) value.add(4 * unroll);
      for (const pointer of pointers) pointer.add(2 * unroll * vectorBytes);
    });
  if (plan.unroll > 1) steps(plan.unroll, k.let(count.over(plan.unroll)));
  steps(1, plan.unroll > 1 ? k.let(count.remainder(plan.unroll)) : count);
  return sums;
}

/**
 * Fetches `bytes` to a near cache, many lines at a time. The products, which compute more for each line, would wait for
 * one line after the other.
 */
export function touch(k: Kernel, from: Int, bytes: Int): void {
  const at = k.let(from);
  const last = k.let(at.plus(bytes).minus(256));
  k.while(
    () => at.less(last),
    () => {
      touchLines(k, at, 4);
      at.add(256);
    },
  );
}

/** All of `count` neighbouring panels, `stride` bytes apart, several at a time; `use` gets their sums. */
export function eachPanel(
  k: Kernel,
  shape: DecodeShape,
  rows: number,
  count: Int,
  first: Int,
  stride: Int,
  sums: (panels: readonly Int[]) => Variable<'f32x4'>[][],
  use: (sums: Variable<'f32x4'>[][]) => void,
): void {
  // As many sums as registers allow, so that they do not wait for each other.
  const together = rows <= 2 || shape.plan.panels === 2 ? 2 : 1;
  const left = k.let(count);
  const panel = k.let(first);
  for (const width of together === 2 ? [2, 1] : [1])
    k.while(
      () => left.atLeast(width),
      () => {
        use(sums(Array.from({ length: width }, (_, i) => (i === 0 ? panel : panel.plus(stride)))));
        panel.add(stride.times(width));
        left.set(left.minus(width));
      },
    );
}
