import { detectTier, isKnown, prepare } from '../../src/engine/wasm/runtime/tier.js';

/** Lets kernels use relaxed SIMD where it is behind a flag, and leaves a better tier as it is; whether V8 knows it. */
export function allowRelaxed(): boolean {
  const tier = detectTier({});
  prepare(tier === 'baseline' ? 'relaxed' : tier);
  return isKnown('relaxed');
}
