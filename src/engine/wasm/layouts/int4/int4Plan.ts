/** How products with int4 weights are tiled: data, apart from the code that emits and launches them. */
export interface Int4Plan {
  /** How nibbles meet activations: see `nibbleDots.ts`. All give the same bits. */
  readonly dot: 'pairs' | 'bytes' | 'shorts';
  /** Rows of activations of a tile, over an unpacked panel. */
  readonly rows: number;
  /** Vectors of 4 columns of a tile: half a panel or all of it. */
  readonly tileVectors: 2 | 4;
  /** Words of activations that a tile's inner loop takes in one turn: a divisor of a block's 8 (`pairs`: 16). */
  readonly tileUnroll: number;
  /** Steps of 8 weights that the loop for a single row takes in one turn: 1, 2 or 4. */
  readonly rowUnroll: number;
  /** Sums that a single row's products are added to in turn, so that one need not wait for the one before. */
  readonly rowChains: 1 | 2;
  /** The most rows for which weights are unpacked in registers for each tile, and not to memory once for all of them. */
  readonly fewRows: number;
  /** How much of the depth of a panel is unpacked at a time, in blocks of 32 weights: whole groups. */
  readonly depthBlocks: number;
  /** Rows of activations that stay in the second-level cache while the panels stream by: whole tiles. */
  readonly block: number;
}

/**
 * For strict SIMD. Loops are not unrolled and tiles are 4 x 8: compilers that load everything at the top of a loop
 * would run out of registers, and the others gain nothing. Neighbouring vectors are treated alike, so that a compiler
 * can pair them to 256 bits. 32 blocks unpack to 32 KiB.
 */
export const pairsPlan: Int4Plan = {
  dot: 'pairs',
  rows: 4,
  tileVectors: 2,
  tileUnroll: 1,
  rowUnroll: 1,
  rowChains: 1,
  fewRows: 3,
  depthBlocks: 32,
  block: 256,
};

/**
 * For relaxed SIMD on processors that multiply and add bytes in one instruction. It takes several cycles, hence two
 * chains of sums.
 */
export const bytesPlan: Int4Plan = {
  dot: 'bytes',
  rows: 4,
  tileVectors: 2,
  tileUnroll: 2,
  rowUnroll: 1,
  rowChains: 2,
  fewRows: 4,
  depthBlocks: 64,
  block: 64,
};

/**
 * For relaxed SIMD on processors that take three instructions for that; sums of 16 bits save one of them. With 128-bit
 * vectors, unrolling gains nothing.
 */
export const shortsPlan: Int4Plan = {
  dot: 'shorts',
  rows: 4,
  tileVectors: 2,
  tileUnroll: 1,
  rowUnroll: 1,
  rowChains: 1,
  fewRows: 4,
  depthBlocks: 64,
  block: 64,
};

/** `bytesPlan` for vectors paired to 256 bits, which leaves registers for more rows. */
export const wideBytesPlan: Int4Plan = { ...bytesPlan, rows: 6, tileVectors: 4, block: 258 };

/**
 * `shortsPlan` for vectors paired to 256 bits. Tiles of 4 x 16 have eight sums of 16 bits. A block is computed without
 * a loop, so that sums begin with a product and not with zero: 1.18 times as fast.
 */
export const wideShortsPlan: Int4Plan = {
  ...shortsPlan,
  tileVectors: 4,
  tileUnroll: 8,
  rowUnroll: 4,
  fewRows: 32,
  block: 128,
};

/** What the plan depends on. */
export interface Int4Machine {
  /** Relaxed SIMD is there, and computes right. */
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
