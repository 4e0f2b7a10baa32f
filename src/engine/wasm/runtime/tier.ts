/** Which instructions kernels use: those that the JavaScript engine has, and gets right. */
import type { EngineOptions } from '../../engineOptions.js';
import { UserError } from '../../errors.js';
import { host } from '../../hosts/index.js';
import { kernel, kernelModule } from '../compiler/kernel.js';
import { constant, multiplyAdd } from '../compiler/language.js';
import { webAssembly } from '../compiler/webAssembly.js';
import { int4PlanFor, type Int4Plan } from '../layouts/int4/int4Plan.js';
import { forLargeCache, hoistedTile, pairedTile, relaxedTile, strictTile, type TilePlan } from '../layouts/tilePlan.js';
import { hasByteDots, hasLargeCache } from './processor.js';

/**
 * Best first. `relaxed` has fused multiply-adds and dot products of bytes; `revectorized` has them on pairs of vectors,
 * 256 bits at once.
 */
export const tiers = ['revectorized', 'relaxed', 'baseline'] as const;
export type Tier = (typeof tiers)[number];

/** Node's flag with which V8 checks bounds of memories, and reserves no addresses behind them. */
export const checkBounds = '--disable-wasm-trap-handler';

/** Of V8; 0 where another engine compiles kernels. */
const version = host.v8?.version ?? 0;

/** The first that pairs vectors (Node 26), and the first that has relaxed SIMD right in each of its compilers (Node 24). */
const pairingVersion = 14.6;
const relaxedVersion = 13.6;
/** The first that has relaxed SIMD without being told (Node 22). */
const shippedVersion = 12.4;

/**
 * Earlier versions load everything at the top of a loop, and have no single instruction for products of bytes on
 * x86-64.
 */
const isOld = version < relaxedVersion;

const tiles: Readonly<Record<Tier, TilePlan>> = {
  revectorized: pairedTile,
  relaxed: isOld ? hoistedTile : relaxedTile,
  baseline: strictTile,
};
const largeTiles: typeof tiles = {
  revectorized: forLargeCache(tiles.revectorized),
  relaxed: forLargeCache(tiles.relaxed),
  baseline: forLargeCache(tiles.baseline),
};

/** How products are tiled. */
export interface Plans {
  readonly tile: TilePlan;
  readonly int4: Int4Plan;
}

/** How a tier multiplies, on this processor. */
export function plansOf(tier: Tier): Plans {
  const byteDots = hasByteDots();
  return {
    tile: (hasLargeCache() ? largeTiles : tiles)[tier],
    int4: int4PlanFor({ relaxed: tier !== 'baseline', wide: tier === 'revectorized', byteDots: byteDots && !isOld }),
  };
}

/** Forces a tier, whatever there is. */
const variable = 'LLM_DROP_WASM_TIER';

export function detectTier({ v8Flags = false }: EngineOptions): Tier {
  const forced = host.setting(variable);
  if (forced) {
    const tier = tiers.find((name) => name === forced);
    if (!tier) throw new UserError(`${variable} is '${forced}'`, { hint: `set one of ${tiers.join(', ')}` });
    return tier;
  }
  if (v8Flags && version >= pairingVersion && host.processor.architecture === 'x64') return 'revectorized';
  return v8Flags || version >= relaxedVersion ? 'relaxed' : 'baseline';
}

/** Why `detectTier` and the self-test ended at a tier, in a clause. */
export function whyTier(options: EngineOptions, tier: Tier): string {
  const wanted = detectTier(options);
  if (tier !== wanted) return `kernels of the tier ${wanted} do not compute right here`;
  if (host.setting(variable)) return `${variable} says so`;
  if (tier === 'revectorized') return `V8 ${version} pairs vectors to 256 bits`;
  if (tier === 'baseline') return `V8 ${version} has relaxed SIMD only behind flags, which the program may not set`;
  if (version < pairingVersion)
    return `V8 ${version} pairs no vectors to 256 bits (${pairingVersion} does, in Node 26)`;
  return options.v8Flags
    ? `V8 pairs vectors to 256 bits on x64 alone`
    : `V8 ${version} pairs vectors only behind flags, which the program may not set`;
}

const probe = kernelModule('probe', () => ({
  probe: kernel({ at: 'i32' }, (k, { at }) => {
    const one = constant('f32x4', 1);
    k.store(at, multiplyAdd(one, one, one));
  }),
}));

/** Whether V8 knows a tier's instructions, after `prepare`. */
export const isKnown = (tier: Tier): boolean => tier === 'baseline' || webAssembly.validate(probe.emit().bytes);

let pairing = false;

/** Sets what a tier needs before its kernels are compiled. */
export function prepare(tier: Tier): void {
  if (tier === 'relaxed' && isOld) allowRelaxed();
  if (pairing === (tier === 'revectorized')) return;
  pairing = !pairing;
  host.v8?.setFlags(`--${pairing ? '' : 'no-'}experimental-wasm-revectorize`);
}

/**
 * In old versions only the optimizing compiler gets relaxed SIMD right, so the other one is turned off. It stays off,
 * since other engines may still have kernels to compile.
 */
function allowRelaxed(): void {
  if (version < shippedVersion) host.v8?.setFlags('--experimental-wasm-relaxed-simd');
  host.v8?.setFlags('--no-liftoff');
}
