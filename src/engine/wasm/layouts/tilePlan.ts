/** Which tiles the matrix kernels compute with: data, apart from the code that emits and launches them. */
export interface TilePlan {
  /** Rows of a tile: each loads once what all its columns use. */
  readonly rows: 4 | 6;
  /** Panels of a tile of several rows. */
  readonly panels: 1 | 2;
  /** Steps of the depth that a full tile takes before it branches. */
  readonly unroll: number;
  /** Whether products are added by relaxed SIMD's fused instruction. */
  readonly fused: boolean;
  /** Panels that a single row (a token being decoded) takes at once, to have enough independent sums. */
  readonly rowPanels: number;
  /** Inner size, at most, whose products are summed before they join the result: keeps a panel in a near cache. */
  readonly depth: number;
  /** Rows of activations that are met by a pair of panels before the next pair comes. */
  readonly block: number;
  /** Rows for which intermediate results are held at a time. */
  readonly chunk: number;
}

/**
 * 4 x 8: eight sums, two columns and four splats fit the 16 vector registers of x86-64, with one left for the product, as
 * strict SIMD has no fused multiply-add. A panel's 640 x 8 floats and a tile's 640 x 4 are 30 KiB; 64 x 640 activations
 * 160 KiB. A row's four panels are eight sums and as many columns.
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

/** The same with fused multiply-adds, for compilers that hoist a loop's loads: more rows would leave no registers for them. */
export const hoistedTile: TilePlan = { ...strictTile, fused: true };

/** 6 x 8: with fused multiply-adds, twelve sums that do not wait for each other. Branches would be a sixth of what it does. */
export const relaxedTile: TilePlan = { ...hoistedTile, rows: 6, rowPanels: 8, block: 60, unroll: 4 };

/** 6 x 16, for compilers that pair neighbouring vectors to 256 bits: the same twelve sums, twice as wide. */
export const pairedTile: TilePlan = { ...relaxedTile, panels: 2, depth: 512 };

/** The same for a second-level cache of 1 MiB or more: results are visited less often, panels fetched less often. As measured. */
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

/** Keys whose values attention sums before they join the result: by position, whatever the block. */
export const attentionKeys = 512;

/** Rows of queries (tokens times heads that share keys) that attention scores at once. */
export const attentionRows = 48;

/** Columns of logits and rows that cross-entropy holds at once. */
export const crossEntropyColumns = 1024;
export const crossEntropyRows = 256;

/** Rows of an int4 weight that are float32 at a time, where they are multiplied as such. */
export const exactColumns = 256;

/** Bytes of a weight decoded to float32 at once while it is packed. */
export const packBytes = 1 << 21;
