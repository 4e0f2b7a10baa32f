/**
 * Loops over rows of floats: two vectors of four at a time, then one, then the rest one by one. Both vectors are computed
 * before either is stored, so that compilers can pair them, and neither waits for the other.
 */
import type { Kernel, Variable } from './kernel.js';
import { constant, bytesOf, load, type Arg, type Float, type Int, type Value } from './language.js';

/** Where a loop stands: at four floats, or at a single one. */
export class Cursor {
  constructor(
    private readonly k: Kernel,
    private readonly address: Int,
    readonly kind: 'f32' | 'f32x4',
    /** Which vector of the step it is. */
    readonly part: 0 | 1,
    /** What to store at the end of the step. */
    private readonly pending: (() => void)[],
  ) {}

  load(): Float {
    return load[this.kind](this.address, 16 * this.part) as Float;
  }

  store(value: Float): void {
    const result = this.k.let(value as Value<'f32x4'>);
    this.pending.push(() => this.k.store(this.address, result, 16 * this.part));
  }
}

/** `body` at floats 0 to `count` of each row. */
export function each(k: Kernel, count: Int, rows: readonly Int[], body: (...at: Cursor[]) => void): void {
  const left = k.let(count);
  const pointers = rows.map((row) => k.let(row));
  const walk = (kind: 'f32' | 'f32x4', parts: readonly (0 | 1)[]): void => {
    const lanes = parts.length * (kind === 'f32' ? 1 : 4);
    k.while(
      () => left.atLeast(lanes),
      () => {
        const pending: (() => void)[] = [];
        for (const part of parts) body(...pointers.map((pointer) => new Cursor(k, pointer, kind, part, pending)));
        for (const store of pending) store();
        for (const pointer of pointers) pointer.add(parts.length * bytesOf(kind));
        left.set(left.minus(lanes));
      },
    );
  };
  walk('f32x4', [0, 1]);
  walk('f32x4', [0]);
  walk('f32', [0]);
}

/** Folds a term of each float with an associative operation; `start` is its neutral element. */
function fold(
  k: Kernel,
  count: Int,
  rows: readonly Int[],
  start: number,
  op: (a: Float, b: Float) => Float,
  term: (...at: Cursor[]) => Float,
): Variable<'f32'> {
  const fours = [0, 1].map(() => k.let(constant('f32x4', start)));
  const one = k.let(constant('f32', start));
  each(k, count, rows, (...at) => {
    const total = at[0].kind === 'f32' ? one : fours[at[0].part];
    total.set(op(total as Float, term(...at)) as Value<'f32x4'> & Value<'f32'>);
  });
  const four = k.let(op(fours[0], fours[1]) as Value<'f32x4'>);
  const lanes = [0, 1, 2, 3].map((lane) => four.lane(lane) as Float);
  one.set(op(op(op(lanes[0], lanes[1]), op(lanes[2], lanes[3])), one as Float) as Value<'f32'>);
  return one;
}

/** Sum over 0 to `count` of a term of each float: eight partial sums, added at the end. */
export const sum = (k: Kernel, count: Int, rows: readonly Int[], term: (...at: Cursor[]) => Float): Variable<'f32'> =>
  fold(k, count, rows, 0, (a, b) => a.plus(b), term);

/** NaNs are passed over. */
export const maximum = (
  k: Kernel,
  count: Int,
  rows: readonly Int[],
  term: (...at: Cursor[]) => Float,
): Variable<'f32'> => fold(k, count, rows, -Infinity, (a, b) => a.orLarger(b), term);

/** Addresses of 32-bit elements. */
export const element = (base: Int, index: Arg<'i32'>): Int =>
  typeof index === 'number' ? base.plus(4 * index) : base.plus((index as Int).times(4));

/** Zeros `rows` rows of `vectors` vectors, `stride` bytes apart. */
export function clearRows(k: Kernel, address: Int, rows: number, vectors: number, stride: Int): void {
  const row = k.let(address);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < vectors; j++) k.store(row, constant('f32x4', 0), 16 * j);
    row.add(stride);
  }
}

/** `rows` x `columns` of something, for unrolled tiles. */
export const grid = <T>(rows: number, columns: number, at: (row: number, column: number) => T): T[][] =>
  Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => at(row, column)));
