/** Sums of products over groups of int4 weights, which kernels for few rows and for many share. */
import type { Kernel, Variable } from '../../compiler/kernel.js';
import { constant, type Int } from '../../compiler/language.js';
import { grid } from '../../compiler/loops.js';
import { blockBytes, tailBytes } from '../../layouts/int4/int4Panels.js';
import { zeros } from './int4Scale.js';
import { RunningSum, type Ints, type NibbleDot } from './nibbleDots.js';

/** What each group has beside its scales: a zero point of 8, zero points of its own, or minima. */
export type Offsets = 'middle' | 'zeros' | 'minima';

/** Bytes behind a group's weights. */
export const tailOf = (offsets: Offsets): number => tailBytes(offsets === 'minima');

export const panelStride = (blocks: Int, groups: Int, offsets: Offsets): Int =>
  blocks.times(blockBytes).plus(groups.times(tailOf(offsets)));

/** Emits `body` for each group of a row of `blocks` blocks, with the number of blocks in it. */
export function eachGroup(k: Kernel, blocks: Int, group: number, body: (count: Int) => void): void {
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
export interface Stretch {
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
export function sumUp(
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
