/** How products with int4 weights are tiled: data, apart from the code that emits and launches them. */
export interface Int4Plan {
  /** How nibbles meet activations: see `nibbleDots.ts`. All give the same bits. */
  readonly dot: 'pairs' | 'bytes' | 'shorts';
  /** Rows of activations of a tile, over an unpacked panel. */
  readonly rows: number;
  /** Vectors of 4 columns of a tile: half a panel or all of it. */
  readonly tileVectors: 2 | 4;
  /** Words of activations that a tile's inner loop takes before it branches: a divisor of a block's 8 (`pairs`: 16). */
  readonly tileUnroll: number;
  /** Steps of 8 weights that the loop for a single row takes before it branches: 1, 2 or 4. */
  readonly rowUnroll: number;
  /** Sums that a single row's products go to in turn, where one product would wait for the last. */
  readonly rowChains: 1 | 2;
  /** Blocks of 32 weights along the depth of which a panel is unpacked at a time: whole groups. */
  readonly depthBlocks: number;
  /** Rows of activations that stay in the second-level cache while the panels stream by: whole tiles. */
  readonly block: number;
}

/**
 * Strict SIMD. Loops are rolled and tiles 4 x 8: compilers that hoist all loads to a loop's top would spill, and the
 * others gain nothing. Neighbouring vectors do the same, so that a compiler which pairs them to 256 bits can. 32 blocks
 * unpack to 32 KiB.
 */
export const pairsPlan: Int4Plan = {
  dot: 'pairs',
  rows: 4,
  tileVectors: 2,
  tileUnroll: 1,
  rowUnroll: 1,
  rowChains: 1,
  depthBlocks: 32,
  block: 256,
};

/** Relaxed SIMD where one instruction multiplies and adds bytes, which takes it several cycles: hence two chains. */
export const bytesPlan: Int4Plan = {
  dot: 'bytes',
  rows: 4,
  tileVectors: 2,
  tileUnroll: 2,
  rowUnroll: 1,
  rowChains: 2,
  depthBlocks: 64,
  block: 64,
};

/** Relaxed SIMD where that is three instructions: sums of 16 bits save one of them. Unrolled, it gains nothing at 128 bits. */
export const shortsPlan: Int4Plan = {
  dot: 'shorts',
  rows: 4,
  tileVectors: 2,
  tileUnroll: 1,
  rowUnroll: 1,
  rowChains: 1,
  depthBlocks: 64,
  block: 64,
};

/** The same where vectors are paired to 256 bits, which leaves registers for more rows. */
export const wideBytesPlan: Int4Plan = { ...bytesPlan, rows: 6, tileVectors: 4, block: 258 };

/**
 * The same, paired. 4 x 16 has eight sums of 16 bits; a whole block goes without a loop, so that none of them starts at
 * zero: 1.18 times as fast.
 */
export const wideShortsPlan: Int4Plan = { ...shortsPlan, tileVectors: 4, tileUnroll: 8, rowUnroll: 4, block: 128 };

/** What the plan depends on. */
export interface Int4Machine {
  /** Relaxed SIMD is there and right. */
  readonly relaxed: boolean;
  /** The compiler pairs vectors to 256 bits. */
  readonly wide: boolean;
  /** The processor multiplies and adds bytes in one instruction (see `hasByteDots`). */
  readonly byteDots: boolean;
}

export function int4PlanFor({ relaxed, wide, byteDots }: Int4Machine): Int4Plan {
  if (!relaxed) return pairsPlan;
  if (byteDots) return wide ? wideBytesPlan : bytesPlan;
  return wide ? wideShortsPlan : shortsPlan;
}
