import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigReader } from '../../../src/models/configReader.js';
import { parseRope, partialRotaryFactor, rawRope, refusePartialRotation } from '../../../src/models/rope.js';
import { ropeFrequencies, type RopeParameters } from '../../../src/models/index.js';
import { ropeParameters } from '../../../src/testing/index.js';

const headDims = fc.constantFrom(2, 8, 64, 128);

/** By how much each frequency of a head of 128 is lowered, with base 10000. */
const divisors = (rope: RopeParameters): number[] =>
  Array.from(ropeFrequencies(rope, 128).inverse, (f, k) => 10000 ** ((-2 * k) / 128) / f);

/** A dimension's wavelength in tokens. */
const wavelength = (k: number): number => 2 * Math.PI * 10000 ** ((2 * k) / 128);

describe('frequencies', () => {
  it('fall from 1 with the dimension, none lowered by more than the factor, whatever the type', () =>
    fc.assert(
      fc.property(ropeParameters(), headDims, (rope, headDim) => {
        const { inverse } = ropeFrequencies(rope, headDim);
        const factor = 'factor' in rope ? rope.factor : 1;
        expect(inverse).toHaveLength(headDim / 2);
        inverse.forEach((f, k) => {
          const plain = rope.theta ** ((-2 * k) / headDim);
          expect(f).toBeLessThanOrEqual(plain * (1 + 1e-12)); // roundings of float64
          expect(f).toBeGreaterThanOrEqual((plain / factor) * (1 - 1e-12));
          if (k > 0) expect(f).toBeLessThan(inverse[k - 1]);
        });
      }),
    ));

  it('a factor of 1 changes none', () =>
    fc.assert(
      fc.property(ropeParameters(), headDims, (rope, headDim) => {
        const { inverse } = ropeFrequencies({ ...rope, factor: 1 } as RopeParameters, headDim);
        inverse.forEach((f, k) => expect(f).toBeCloseTo(rope.theta ** ((-2 * k) / headDim), 14));
      }),
    ));

  it('linear lowers all alike', () =>
    expect(new Set(divisors({ type: 'linear', theta: 10000, factor: 4 }))).toEqual(new Set([4])));

  it('llama3 keeps waves that fit the context four times, divides those that do not fit it once', () => {
    const context = 8192;
    const found = divisors({
      type: 'llama3',
      theta: 10000,
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositions: context,
    });
    for (const [k, divisor] of found.entries()) {
      const turns = context / wavelength(k);
      if (turns > 4) expect(divisor).toBeCloseTo(1, 12);
      else if (turns < 1) expect(divisor).toBeCloseTo(8, 12);
      else expect(1 / divisor).toBeCloseTo(1 / 8 + ((7 / 8) * (turns - 1)) / 3, 12);
    }
    // Each of the three is there: wavelengths from 6 to 54000.
    expect([found[0], found[63]]).toEqual([1, 8]);
    expect(found.some((divisor) => divisor > 1.1 && divisor < 7.9)).toBe(true);
  });

  it('YaRN keeps waves of 32 turns in the context, divides those of less than one, with a ramp by dimension between', () => {
    const context = 4096;
    const yarn = { type: 'yarn', theta: 10000, factor: 16, originalMaxPositions: context, attentionFactor: 1 } as const;
    const found = divisors({ ...yarn, betaFast: 32, betaSlow: 1, truncate: false });
    // Where wavelengths are 4096 / 32 and 4096 tokens: 128 ln(4096 / (2 pi beta)) / (2 ln 10000).
    const [low, high] = [20.944482, 45.026881];
    for (const [k, divisor] of found.entries()) {
      const ramp = Math.min(1, Math.max(0, (k - low) / (high - low)));
      expect(1 / divisor).toBeCloseTo(1 - ramp + ramp / 16, 5);
    }
    expect(context / wavelength(20)).toBeGreaterThan(32);
    expect(context / wavelength(21)).toBeLessThan(32);
    expect(context / wavelength(45)).toBeGreaterThan(1);
    expect(context / wavelength(46)).toBeLessThan(1);
    // Truncated, the ramp begins at 20 and ends at 46.
    const truncated = divisors({ ...yarn, betaFast: 32, betaSlow: 1, truncate: true });
    expect([truncated[20], truncated[46]].map((divisor) => Number(divisor.toFixed(9)))).toEqual([1, 16]);
    expect(1 / truncated[33]).toBeCloseTo((1 + 1 / 16) / 2, 12);
  });

  it('only YaRN scales what is rotated', () =>
    fc.assert(
      fc.property(ropeParameters(), headDims, (rope, headDim) => {
        expect(ropeFrequencies(rope, headDim).factor).toBe(rope.type === 'yarn' ? rope.attentionFactor : 1);
      }),
    ));
});

describe('a config', () => {
  const parse = (raw: Record<string, unknown>): RopeParameters =>
    parseRope(new ConfigReader(raw, 'config.json', undefined, { rope_theta: 10000 }), 4096);
  const yarn = { rope_type: 'yarn', factor: 16, original_max_position_embeddings: 2048 };

  it('means the same in the words of transformers 4 and 5', () => {
    const expected = { type: 'linear', theta: 500, factor: 2 };
    expect(parse({ rope_theta: 500, rope_scaling: { type: 'linear', factor: 2 } })).toEqual(expected);
    expect(parse({ rope_parameters: { rope_type: 'linear', rope_theta: 500, factor: 2 } })).toEqual(expected);
    expect(parse({})).toEqual({ type: 'default', theta: 10000 });
  });

  it('may say it twice, where it says the same', () => {
    const linear = { rope_type: 'linear', factor: 2 };
    expect(parse({ rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: linear })).toMatchObject({
      factor: 2,
    });
    expect(() => parse({ rope_scaling: { type: 'linear', factor: 4 }, rope_parameters: linear })).toThrow(
      /^config\.json: rope_scaling and rope_parameters differ in factor: 4 and 2/,
    );
    expect(() => parse({ rope_scaling: { type: 'linear' }, rope_parameters: { rope_type: 'default' } })).toThrow(
      /differ in rope_type: "linear" and "default"/,
    );
  });

  it.each([{ partial_rotary_factor: 0.5 }, { rope_parameters: { partial_rotary_factor: 0.5 } }])(
    'of a part of each head, %j, is read where a family has such, and refused elsewhere',
    (keys) => {
      const read = new ConfigReader(keys, 'config.json');
      expect(() => refusePartialRotation(read)).toThrow(
        /^config\.json: partial_rotary_factor \(0\.5\) is not known of model type/,
      );
      const asking = new ConfigReader(keys, 'config.json');
      expect(partialRotaryFactor(asking)).toBe(0.5);
      expect(() => refusePartialRotation(asking)).not.toThrow();
    },
  );

  it.each([0, -1, 1.5, '0.5', [1]])('of %j of each head is refused', (factor) =>
    expect(() => partialRotaryFactor(new ConfigReader({ partial_rotary_factor: factor }, 'config.json'))).toThrow(
      /^config\.json: partial_rotary_factor must be a number above 0 and at most 1/,
    ),
  );

  it('of the whole head needs no family that knows of parts', () =>
    expect(() => refusePartialRotation(new ConfigReader({ partial_rotary_factor: 1 }, 'x'))).not.toThrow());

  it('of any rotation is what was written of it', () =>
    fc.assert(
      fc.property(ropeParameters(), (rope) => {
        expect(parse({ rope_parameters: rawRope(rope) })).toEqual(rope);
      }),
    ));

  it('has the defaults of YaRN where it names none', () => {
    expect(parse({ rope_scaling: yarn })).toEqual({
      type: 'yarn',
      theta: 10000,
      factor: 16,
      originalMaxPositions: 2048,
      attentionFactor: 1.2772588722239782, // 0.1 ln 16 + 1
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
    });
    const unnamed = { rope_type: 'yarn', factor: 16 };
    expect(parse({ rope_scaling: unnamed })).toMatchObject({ originalMaxPositions: 4096 });
  });

  it('YaRN takes the original length from beside the scaling, and its factor from both lengths', () => {
    const keys = { original_max_position_embeddings: 1024, rope_scaling: { ...yarn, factor: null } };
    expect(parse(keys)).toMatchObject({ originalMaxPositions: 1024, factor: 4 });
    // Without an original length both are the same, and nothing is stretched.
    expect(parse({ rope_scaling: { rope_type: 'yarn', factor: null } })).toMatchObject({
      factor: 1,
      attentionFactor: 1,
    });
  });

  it('Llama 3 takes the original length from beside the scaling, too', () => {
    const scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const keys = { original_max_position_embeddings: 1024, rope_scaling: scaling };
    expect(parse(keys)).toMatchObject({ type: 'llama3', originalMaxPositions: 1024 });
  });

  it('longrope scales by both lengths, and has other divisors for longer texts', () => {
    const lists = { short_factor: [1, 2], long_factor: [4, 8] };
    const rope = parse({ original_max_position_embeddings: 1024, rope_scaling: { type: 'su', ...lists } });
    const attentionFactor = Math.sqrt(1 + Math.log(4) / Math.log(1024));
    expect(rope).toEqual({
      type: 'longrope',
      theta: 10000,
      shortFactors: [1, 2],
      longFactors: [4, 8],
      originalMaxPositions: 1024,
      attentionFactor,
    });
    expect(ropeFrequencies(rope, 4, 1024)).toEqual({ inverse: Float64Array.of(1, 1 / 200), factor: attentionFactor });
    expect(ropeFrequencies(rope, 4, 1025).inverse).toEqual(Float64Array.of(1 / 4, 1 / 800));
  });

  it('dynamic lets the base grow beyond the context', () => {
    const rope = parse({ rope_scaling: { type: 'dynamic', factor: 2 } });
    expect(rope).toEqual({ type: 'dynamic', theta: 10000, factor: 2, maxPositions: 4096 });
    const plain = ropeFrequencies({ type: 'default', theta: 10000 }, 8);
    expect(ropeFrequencies(rope, 8, 4096)).toEqual(plain);
    // Twice the context: the base times 3^(8 / 6).
    const grown = ropeFrequencies({ type: 'default', theta: 10000 * 3 ** (8 / 6) }, 8);
    expect(ropeFrequencies(rope, 8, 8192)).toEqual(grown);
  });

  it.each([
    [{ attention_factor: 0.5 }, 0.5],
    [{ factor: 1 }, 1],
    [{ factor: 0.5 }, 1],
    // 0.1 * 0.5 ln 16 + 1 over 0.1 * 2 ln 16 + 1
    [{ mscale: 0.5, mscale_all_dim: 2 }, 1.1386294361119891 / 1.5545177444479563],
    [{ mscale: 0.5 }, 1.2772588722239782],
  ])('YaRN with %j scales by %d', (keys, attentionFactor) => {
    const { attentionFactor: found } = parse({ rope_scaling: { ...yarn, ...keys } }) as { attentionFactor: number };
    expect(found).toBeCloseTo(attentionFactor, 12);
  });

  it.each([
    [{ rope_scaling: { type: 'linear' } }, /^config\.json: the rope scaling needs a number factor/],
    [{ rope_scaling: { type: 'linear', factor: '2' } }, /needs a number factor/],
    [{ rope_theta: '1e4' }, /needs a number rope_theta/],
    [{ rope_scaling: { ...yarn, rope_type: 'spiral' } }, /^config\.json: rope type "spiral" is not supported/],
    [{ rope_scaling: { type: 'yarn' } }, /needs a number factor/],
    [{ rope_scaling: { type: 'longrope' } }, /needs a list of numbers short_factor, found nothing/],
    [{ rope_scaling: { type: 'longrope', short_factor: [1, 'a'] } }, /needs a list of numbers short_factor/],
    [{ rope_scaling: { type: 'dynamic' } }, /needs a number factor/],
  ])('%j is refused', (raw, message) => expect(() => parse(raw)).toThrow(message));
});
