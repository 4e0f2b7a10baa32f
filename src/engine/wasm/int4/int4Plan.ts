/** How products with int4 weights are tiled: data, apart from the code that emits and launches them. */
export interface Int4Plan {
  /** Which instruction multiplies: 16-bit pairs (every machine with SIMD), or bytes (relaxed SIMD). */
  readonly dot: 'pairs' | 'bytes' | 'shorts';
  /** Rows of activations of a tile, over an unpacked panel. */
  readonly rows: number;
  /** Words of activations that a tile's inner loop takes before it branches. */
  readonly tileUnroll: number;
  /** Steps of 8 weights that the loop for a single row takes before it branches: 1, 2 or 4. */
  readonly rowUnroll: number;
  /** Panels that a single row takes at once: what it loads of the row serves them all. */
  readonly rowPanels: number;
  /** Sums that a single row's products go to in turn, where one product would wait for the last. */
  readonly rowChains: 1 | 2;
  /** Blocks of 32 weights along the depth of which a panel is unpacked at a time: it stays in the first-level cache. */
  readonly depthBlocks: number;
  /** Rows of activations that stay in the second-level cache while the panels stream by. */
  readonly block: number;
}

/**
 * Loops are rolled and tiles 4 x 8: compilers that hoist all loads to a loop's top would spill, and the others gain
 * nothing. Neighbouring vectors do the same, so that a compiler which pairs them to 256 bits can. 32 blocks unpack to
 * 32 KiB.
 */
export const pairsPlan: Int4Plan = {
  dot: 'pairs',
  rows: 4,
  tileUnroll: 1,
  rowUnroll: 1,
  rowPanels: 2,
  rowChains: 1,
  depthBlocks: 32,
  block: 64,
};

/** Where one instruction multiplies and adds bytes, it takes several cycles: hence the two chains. */
export const bytesPlan: Int4Plan = {
  dot: 'bytes',
  rows: 4,
  tileUnroll: 2,
  rowUnroll: 1,
  rowPanels: 2,
  rowChains: 2,
  depthBlocks: 64,
  block: 64,
};

/** Where it is three instructions that multiply and add bytes (x86-64 without VNNI), sums of 16 bits save one. */
export const shortsPlan: Int4Plan = { ...bytesPlan, dot: 'shorts', rowUnroll: 4, tileUnroll: 8, rowChains: 1 };

/** Weights of a row that lie together, whatever the group: rows are padded to a multiple. */
export const blockWidth = 32;

/** Bytes of a block of 8 rows. */
export const blockBytes = 128;

/** Bytes of a group's 8 scales (float16). */
export const scaleBytes = 16;
