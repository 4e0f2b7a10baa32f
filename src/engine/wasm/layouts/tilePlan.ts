/** Which tiles the matrix kernels compute with: data, apart from the code that emits and launches them. */
export interface TilePlan {
  /** Rows of a tile: an element of a row is loaded once for all columns of the tile. */
  readonly rows: 4 | 6;
  /** Panels of a tile of several rows. */
  readonly panels: 1 | 2;
  /** Steps of the depth that a full tile takes before it branches. */
  readonly unroll: number;
  /** Whether products are added by relaxed SIMD's fused instruction. */
  readonly fused: boolean;
  /** Panels that a single row (a token being decoded) takes at once, to have enough independent sums. */
  readonly rowPanels: number;
  /**
   * How much of the inner axis is summed, at most, before sums are added to the result: so little that a panel stays in
   * a near cache.
   */
  readonly depth: number;
  /** Rows of activations that are multiplied with the panels of a tile before the next panels are read. */
  readonly block: number;
  /** Rows for which intermediate results are held at a time. */
  readonly chunk: number;
}

/**
 * Tiles of 4 x 8: eight sums, two columns and four copies of a row's element fit the 16 vector registers of x86-64. One
 * is left for the product, as strict SIMD has no fused multiply-add. A panel's 640 x 8 floats and a tile's 640 x 4 are
 * 30 KiB; 64 x 640 activations are 160 KiB. A single row takes four panels: eight sums and as many columns.
 */
export const strictTile: TilePlan = {
  rows: 4,
  panels: 1,
  unroll: 1,
  fused: false,
  rowPanels: 4,
  depth: 640,
  block: 64,
  chunk: 512,
};

/**
 * The same with fused multiply-adds, for compilers that load everything at the top of a loop, where more rows would
 * leave no registers for loads.
 */
export const hoistedTile: TilePlan = { ...strictTile, fused: true };

/**
 * Tiles of 6 x 8 with fused multiply-adds: twelve sums that do not wait for each other. Unrolled, as branches would be
 * a sixth of the instructions.
 */
export const relaxedTile: TilePlan = { ...hoistedTile, rows: 6, block: 60, unroll: 4 };

/**
 * Tiles of 6 x 16, for compilers that pair neighbouring vectors to 256 bits: the same twelve sums, twice as wide. So are
 * the eight sums of a single row.
 */
export const pairedTile: TilePlan = { ...relaxedTile, panels: 2, rowPanels: 8, depth: 512 };

/**
 * A plan for a second-level cache of 1 MiB or more: with larger parts and blocks, results are updated and panels read
 * less often. The sizes are the best of those measured.
 */
export const forLargeCache = (plan: TilePlan): TilePlan => ({
  ...plan,
  depth: 4 * plan.depth,
  block: plan.rows * Math.ceil(256 / plan.rows),
});

/**
 * The parts that an inner size is summed in, as equal as may be. They depend on nothing else, so that a row's result does
 * not depend on how many rows there are.
 */
export const partOf = (depth: number, { depth: most }: TilePlan): number =>
  Math.max(1, Math.ceil(depth / Math.ceil(depth / most)));

/**
 * Keys whose values attention sums before it adds them to the result: split at fixed positions, whatever the block of
 * queries.
 */
export const attentionKeys = 512;

/** Rows of queries (tokens times heads that share keys) that attention scores at once. */
export const attentionRows = 48;

/** Columns of logits and rows that cross-entropy holds at once. */
export const crossEntropyColumns = 1024;
export const crossEntropyRows = 256;

/** Rows of an int4 weight that are dequantized at a time, where products are in float32 (`--int4-exact`). */
export const exactColumns = 256;

/** Bytes of a weight decoded to float32 at once while it is packed. */
export const packBytes = 1 << 21;
