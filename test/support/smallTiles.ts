import { Engine } from '../../src/engine/engine.js';
import { int4PlanFor } from '../../src/engine/wasm/layouts/int4/int4Plan.js';
import { detectTier } from '../../src/engine/wasm/runtime/tier.js';
import { panelRows } from '../../src/engine/wasm/layouts/panels.js';
import { pairedTile, relaxedTile, strictTile, type TilePlan } from '../../src/engine/wasm/layouts/tilePlan.js';
import { createWasmBackend } from '../../src/engine/wasm/wasmBackend.js';
import { mostPages } from '../../src/engine/wasm/compiler/webAssembly.js';
import type { TestedBackend } from './backends.js';

/** Fused multiply-adds where this Node's kernels use them anyway: no flag of V8 is set for this. */
const fused = detectTier({}) !== 'baseline';

/** Rows held at a time; a block that does not divide it leaves a chunk a shorter one. */
const chunk = 10;

/**
 * The shapes of tiles that there are, with blocks, chunks and parts so small that a few rows fill several of each: of the
 * plans in use, a chunk alone is 512 rows.
 */
export const smallTiles: readonly TilePlan[] = [
  { ...strictTile, fused, block: 8, chunk, depth: 24 },
  { ...relaxedTile, fused, block: 6, chunk, depth: 24 },
  { ...pairedTile, fused, block: 6, chunk, depth: 20 },
];

/** The wasm backend with each of them. */
export const wasmWithSmallTiles: readonly TestedBackend[] = smallTiles.map((tile) => [
  `wasm, tiles of ${tile.rows} x ${tile.panels * panelRows} in blocks of ${tile.block}`,
  async () => {
    const plans = { tile, int4: int4PlanFor({ relaxed: false, wide: false, byteDots: false }) };
    return new Engine(await createWasmBackend({ threads: 1 }, mostPages, () => plans));
  },
  'wasm',
]);
