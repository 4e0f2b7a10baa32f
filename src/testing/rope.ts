import fc from 'fast-check';
import type { RopeParameters } from '../models/index.js';

/**
 * Rotary embeddings of every type. Of heads as small as `modelConfigs` makes them, those that treat high and low
 * frequencies apart keep some, stretch some, and have some on the ramp between.
 */
export function ropeParameters(): fc.Arbitrary<RopeParameters> {
  const theta = fc.constantFrom(100, 10000);
  const factor = fc.constantFrom(1, 2, 8);
  const originalMaxPositions = fc.constantFrom(16, 64);
  return fc.oneof(
    fc.record({ type: fc.constant('default' as const), theta }),
    fc.record({ type: fc.constant('linear' as const), theta, factor }),
    fc.record({
      type: fc.constant('llama3' as const),
      theta,
      factor,
      lowFreqFactor: fc.constant(1),
      highFreqFactor: fc.constant(4),
      originalMaxPositions,
    }),
    fc
      .record({
        type: fc.constant('yarn' as const),
        theta,
        factor,
        originalMaxPositions,
        // The paper's for the factor, and one that a checkpoint may name instead.
        attentionFactor: fc.constantFrom('usual' as const, 0.75),
        // The paper's, and ends of the ramp that fall among these few frequencies.
        betas: fc.constantFrom({ betaFast: 32, betaSlow: 1 }, { betaFast: 4, betaSlow: 0.5 }),
        truncate: fc.boolean(),
      })
      .map(({ betas, attentionFactor, ...rest }) => ({
        ...rest,
        ...betas,
        attentionFactor: attentionFactor === 'usual' ? 0.1 * Math.log(rest.factor) + 1 : attentionFactor,
      })),
  );
}
