/** Which instructions kernels use, by what the engine that runs them has and does right. */
import { setFlagsFromString } from 'node:v8';
import type { EngineOptions } from '../engineOptions.js';
import { UserError } from '../errors.js';
import { hasByteDots } from './int4/byteDots.js';
import { int4PlanFor, type Int4Plan } from './int4/int4Plan.js';
import { kernel, kernelModule } from './kernel.js';
import { constant, multiplyAdd } from './language.js';
import { forLargeCache, pairedTile, relaxedTile, strictTile, type TilePlan } from './tilePlan.js';
import { webAssembly } from './webAssembly.js';

/** Best first. `relaxed`: fused multiply-adds and dot products of bytes; `revectorized`: these, in pairs. */
export const tiers = ['revectorized', 'relaxed', 'baseline'] as const;
export type Tier = (typeof tiers)[number];

const tiles: Readonly<Record<Tier, TilePlan>> = {
  revectorized: pairedTile,
  relaxed: relaxedTile,
  baseline: strictTile,
};
const largeTiles: typeof tiles = {
  revectorized: forLargeCache(pairedTile),
  relaxed: forLargeCache(relaxedTile),
  baseline: forLargeCache(strictTile),
};

/** How a tier multiplies, on this processor: all that multiply bytes have a large second-level cache. */
export function plansOf(tier: Tier): { readonly tile: TilePlan; readonly int4: Int4Plan } {
  const byteDots = hasByteDots();
  const int4 = int4PlanFor({ relaxed: tier !== 'baseline', wide: tier === 'revectorized', byteDots });
  return { tile: (byteDots ? largeTiles : tiles)[tier], int4 };
}

/** Forces a tier, whatever there is. */
const variable = 'LLM_DROP_WASM_TIER';

/** The first version with each: earlier ones have the instructions, but compute some wrong. */
const relaxedVersion = 24;
const revectorizedVersion = 26;

const probe = kernelModule('probe', () => ({
  probe: kernel({ at: 'i32' }, (k, { at }) => {
    const one = constant('f32x4', 1);
    k.store(at, multiplyAdd(one, one, one));
  }),
}));

export function detectTier({ revectorize = false }: EngineOptions): Tier {
  const forced = process.env[variable];
  if (forced) {
    const tier = tiers.find((name) => name === forced);
    if (!tier) throw new UserError(`${variable} is '${forced}'`, { hint: `set one of ${tiers.join(', ')}` });
    return tier;
  }
  const version = Number.parseInt(process.versions.node, 10);
  if (version < relaxedVersion || !webAssembly.validate(probe.emit().bytes)) return 'baseline';
  return revectorize && version >= revectorizedVersion && process.arch === 'x64' ? 'revectorized' : 'relaxed';
}

let pairing = false;

/** Sets what a tier needs before its kernels are compiled. */
export function prepare(tier: Tier): void {
  if (pairing === (tier === 'revectorized')) return;
  pairing = !pairing;
  setFlagsFromString(`--${pairing ? '' : 'no-'}experimental-wasm-revectorize`);
}
