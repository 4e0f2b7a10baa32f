/** How products with int4 weights are tiled: data, apart from the code that emits and launches them. */
export interface Int4Plan {
  /** Which instruction multiplies: 16-bit pairs (every machine with SIMD), or bytes (relaxed SIMD). */
  readonly dot: 'pairs' | 'bytes';
  /** Rows of activations of a tile, over an unpacked panel. */
  readonly rows: number;
  /** Words of activations that a tile's inner loop takes before it branches. */
  readonly tileUnroll: number;
  /** Steps of 8 weights that the loop for a single row takes before it branches: 1, 2 or 4. */
  readonly rowUnroll: number;
  /** Blocks of 32 weights along the depth of which a panel is unpacked at a time: it stays in the first-level cache. */
  readonly depthBlocks: number;
  /** Rows of activations that stay in the second-level cache while the panels stream by. */
  readonly block: number;
}

/** 4 x 8, loops rolled: what compilers that hoist loads do not spill. 32 blocks unpack to 16 KiB. */
export const pairsPlan: Int4Plan = { dot: 'pairs', rows: 4, tileUnroll: 1, rowUnroll: 1, depthBlocks: 32, block: 64 };

/** The same for byte products, which take half the space. */
export const bytesPlan: Int4Plan = { dot: 'bytes', rows: 4, tileUnroll: 2, rowUnroll: 4, depthBlocks: 64, block: 64 };

/** Weights of a row that lie together, whatever the group: rows are padded to a multiple. */
export const blockWidth = 32;

/** Bytes of a block of 8 rows. */
export const blockBytes = 128;

/** Bytes of a group's 8 scales (float16). */
export const scaleBytes = 16;
