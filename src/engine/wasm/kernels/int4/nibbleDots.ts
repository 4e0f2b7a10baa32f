/**
 * Products of nibbles with 8-bit activations. A vector of weights holds 4 rows, one in each 32-bit lane, with 8 weights
 * along the depth from the lowest nibble up. Activations meet them as 32-bit words, the same in all lanes.
 */
import type { Code } from '../../compiler/assembler.js';
import type { Kernel, Variable } from '../../compiler/kernel.js';
import { Value, constant, shuffle } from '../../compiler/language.js';
import type { PlainOp } from '../../compiler/opcodes.js';
import { blockWidth } from '../../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../../layouts/int4/int4Plan.js';
import type { Arrangement, IntegerForm } from '../quantizeRows.js';

export type Ints = Value<'i32x4'>;

const of =
  (op: PlainOp) =>
  (...operands: readonly Ints[]): Ints =>
    new Value('i32x4', (code: Code) => {
      for (const operand of operands) operand.emit(code);
      code.op(op);
    });

/** Of each lane: the sum of two products of 16-bit integers. */
export const dotPairs = of('i32x4.dot_i16x8_s');
const dotBytes = of('i32x4.relaxed_dot_i8x16_i7x16_add_s');
const dotToPairs = of('i16x8.relaxed_dot_i8x16_i7x16_s');
const plusPairs = of('i16x8.add');
const timesPairs = of('i16x8.mul');
const pick = of('i8x16.relaxed_swizzle');
export const widenLow = of('i32x4.extend_low_i16x8_u');
export const widenHigh = of('i32x4.extend_high_i16x8_u');

/**
 * Nibble `at` of each lane. `mask`, 15 in all lanes, is declared before any loop, as compilers would make it anew in
 * each turn.
 */
export const nibbleAt = (q: Ints, at: number, mask: Ints): Ints => {
  const low = at === 0 ? q : q.shiftRight(4 * at);
  return at === 7 ? low : low.and(mask);
};

/** Shifts each 16-bit half, zeros coming in. */
const shiftPairs = (a: Ints, bits: number): Ints =>
  new Value('i32x4', (code) => (a.emit(code), code.constant('i32', bits), code.op('i16x8.shr_u')));

const vector = (...words: readonly number[]): Ints => new Value('i32x4', (code) => code.vector(words));
/** Four words of two 16-bit halves each. */
const halves = (...values: readonly number[]): Ints =>
  vector(...[0, 2, 4, 6].map((i) => (values[i] & 0xffff) | (values[i + 1] << 16)));

/** One way to multiply, within a kernel: activations from -127 to 127, and the nibbles of 8 weights, in as many words. */
export interface NibbleDot extends Arrangement {
  /** The nibbles of a vector of weights, apart: one operand for each word. */
  parts(q: Ints): Ints[];
  /** sum + x part. */
  add(sum: Ints, x: Ints, part: Ints): Ints;
  /**
   * Only where sums are of 16 bits, which hold the products of one block: `start` is x part, `settle` is total + sum.
   * Otherwise sums are totals.
   */
  readonly short?: { start(x: Ints, part: Ints): Ints; settle(total: Ints, sum: Ints): Ints };
}

/**
 * Nibbles stay where they are in their 16-bit half, so that only one of four is shifted; the activations make up for it:
 * word i holds elements i and i + 4, times 256, 16, 1 and 256.
 */
function pairs(k: Kernel): NibbleDot {
  const masks = [0xf, 0xf0, 0xf00].map((mask) => k.let(constant('i32x4', mask | (mask << 16))));
  return {
    words: 4,
    factor: 256,
    parts: (q) => [...masks.map((mask) => q.and(mask)), shiftPairs(q, 12)],
    add: (sum, x, part) => sum.plus(dotPairs(x, part)),
    arrange: (low, high) => {
      const places = [0, 4, 1, 5, 2, 6, 3, 7].flatMap((at) => [4 * at, 4 * at + 1]);
      return timesPairs(shuffle(low, high, places), halves(256, 256, 16, 16, 1, 1, 256, 256));
    },
  };
}

/** Even nibbles are masked, odd ones shifted down: word 0 holds elements 0, 2, 4, 6 and word 1 the others. */
function bytes(k: Kernel): NibbleDot {
  const mask = k.let(constant('i32x4', 0x0f0f0f0f));
  // Where bytes 0, 8 and 4, 12 of either vector go; 128 leaves a zero.
  const lowPlaces = k.let(vector(0x80800800, 0x80800c04, -1, -1));
  const highPlaces = k.let(vector(0x08008080, 0x0c048080, -1, -1));
  return {
    words: 2,
    factor: 1,
    parts: (q) => [q.and(mask), shiftPairs(q, 4).and(mask)],
    add: (sum, x, part) => dotBytes(x, part, sum),
    arrange: (low, high) => pick(low, lowPlaces).or(pick(high, highPlaces)),
  };
}

/**
 * As `bytes`, with sums of 16 bits: a word adds at most 2 * 15 * 127, and a block has 8, which is below 2^15. Where no
 * instruction multiplies and adds bytes, this takes two in place of three.
 */
function shorts(k: Kernel): NibbleDot {
  // A dot product with ones adds pairs in one instruction; where vectors are paired, `extadd_pairwise` would make its
  // ones anew each time.
  const ones = k.let(constant('i32x4', 0x10001));
  return {
    ...bytes(k),
    add: (sum, x, part) => plusPairs(sum, dotToPairs(x, part)),
    short: { start: dotToPairs, settle: (total, sum) => total.plus(dotPairs(sum, ones)) },
  };
}

/** A running sum of products. If it has no value yet, the first product becomes it. */
export class RunningSum {
  constructor(
    private readonly k: Kernel,
    private readonly dot: NibbleDot,
    private sum?: Variable<'i32x4'>,
  ) {}

  add(x: Ints, part: Ints): void {
    if (this.sum) this.sum.set(this.dot.add(this.sum, x, part));
    else this.sum = this.k.let(this.dot.short!.start(x, part));
  }

  get value(): Ints {
    return this.sum!;
  }
}

/** The plan's way to multiply. Declares its constants in the kernel: call it before any loop. */
export const nibbleDot = (k: Kernel, { dot }: Int4Plan): NibbleDot => ({ pairs, bytes, shorts })[dot](k);

/** The activations that the plan's way takes. */
export const nibbleForm = (plan: Int4Plan): IntegerForm => ({
  name: 'int4Quantize',
  most: 127,
  padding: blockWidth,
  arrangement: (k) => nibbleDot(k, plan),
});

/** Words of activations that meet 8 weights (`NibbleDot.words`), for code that launches kernels. */
export const wordsOf = ({ dot }: Int4Plan): number => (dot === 'pairs' ? 4 : 2);
