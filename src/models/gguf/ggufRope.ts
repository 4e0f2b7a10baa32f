import { readValues, type GgufContents, type JsonObject } from '../../checkpoint/index.js';
import type { WeightSource } from '../../engine/index.js';
import { ropeFrequencies } from '../rope.js';
import type { GgufKeys } from './ggufKeys.js';

/**
 * How `turning` values of queries and keys turn, under the keys of `config.json`: `rope_theta`, and `rope_scaling` where they
 * are stretched.
 */
export async function ggufRope(keys: GgufKeys, contents: GgufContents, turning: number): Promise<JsonObject> {
  const theta = keys.number('rope.freq_base', 10000);
  const scaling = await ropeScaling(keys, contents, theta, turning);
  return { rope_theta: theta, ...(scaling ? { rope_scaling: scaling } : {}) };
}

async function ropeScaling(
  keys: GgufKeys,
  { ropeDivisors, longFactors, shortFactors }: GgufContents,
  theta: number,
  turning: number,
): Promise<JsonObject | undefined> {
  const type = keys.optionalText('rope.scaling.type') ?? 'none';
  const factor = keys.optionalNumber('rope.scaling.factor') ?? keys.optionalNumber('rope.scale_linear') ?? 1;
  const original = keys.optionalNumber('rope.scaling.original_context_length');
  const originalLength = original === undefined ? {} : { original_max_position_embeddings: original };
  const attentionFactor = keys.number('rope.scaling.attn_factor', 1);
  if (longFactors && shortFactors)
    return {
      rope_type: 'longrope',
      long_factor: await factorsOf(keys, longFactors, turning),
      short_factor: await factorsOf(keys, shortFactors, turning),
      ...originalLength,
      attention_factor: attentionFactor,
    };
  switch (type) {
    case 'none':
      break;
    case 'linear':
      if (factor !== 1) return { rope_type: 'linear', factor };
      break;
    case 'yarn': {
      const attention = attentionFactor * keys.number('rope.scaling.yarn_attn_factor', 1);
      return {
        rope_type: 'yarn',
        factor,
        ...originalLength,
        // llama.cpp multiplies the usual one.
        ...(attention === 1 ? {} : { attention_factor: attention * (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1) }),
        beta_fast: keys.number('rope.scaling.yarn_beta_fast', 32),
        beta_slow: keys.number('rope.scaling.yarn_beta_slow', 1),
      };
    }
    default:
      // Refused by name where the config is read, unless the family knows it.
      return { rope_type: type, factor };
  }
  if (!ropeDivisors) return undefined;
  const divisors = Float32Array.from(await factorsOf(keys, ropeDivisors, turning));
  const found = llama3Scaling(divisors, theta, turning);
  return found ?? keys.fail(`tensor ${ropeDivisors.name} divides the rotary angles otherwise than Llama 3 does`);
}

/** One for each pair of values that turns. */
async function factorsOf(keys: GgufKeys, source: WeightSource, turning: number): Promise<number[]> {
  const values = await readValues(source);
  if (values.length !== turning / 2)
    keys.fail(`tensor ${source.name} is [${values.length}], but ${turning} values that turn need [${turning / 2}]`);
  return Array.from(values);
}

/**
 * Llama 3's scaling by what it divides each angle by, which is 1 for short waves, the factor for long ones, and between
 * them has an inverse that is linear in the frequency. Undefined for divisors that are not so.
 */
export function llama3Scaling(divisors: Float32Array, theta: number, headDim: number): JsonObject | undefined {
  const { inverse } = ropeFrequencies({ type: 'default', theta }, headDim);
  // Waves a token, falling, and the share that stays of each.
  const points = Array.from(inverse, (angle, k) => ({ wave: angle / (2 * Math.PI), share: 1 / divisors[k] }));
  const factor = decimals(Math.max(...divisors));
  if (!(factor >= 1 && Number.isFinite(factor)) || points.some(({ share }) => !(share <= 1 + 1e-6))) return undefined;
  for (const [low, high] of rampEnds(points, 1 / factor)) {
    const scaling = {
      rope_type: 'llama3',
      factor,
      low_freq_factor: 1,
      high_freq_factor: decimals(high / low),
      original_max_position_embeddings: decimals(1 / low),
    };
    if (fits(scaling, divisors, theta, headDim)) return scaling;
  }
  return undefined;
}

interface Point {
  readonly wave: number;
  readonly share: number;
}

/** Where the ramp may begin and end, in waves a token: the first that fits counts. */
function* rampEnds(points: readonly Point[], least: number): Generator<readonly [low: number, high: number]> {
  const inside = points.filter(({ share }) => share > least * (1 + 1e-6) && share < 1 - 1e-6);
  const above = Math.min(...points.filter(({ share }) => share >= 1 - 1e-6).map(({ wave }) => wave), Infinity);
  const below = Math.max(...points.filter(({ share }) => share <= least * (1 + 1e-6)).map(({ wave }) => wave), 0);
  if (inside.length >= 2) {
    const [a, b] = [inside[0], inside.at(-1)!];
    const slope = (a.share - b.share) / (a.wave - b.wave);
    yield [b.wave + (least - b.share) / slope, b.wave + (1 - b.share) / slope];
  }
  // Fewer points leave a choice. Models have ramps that end at four times their beginning, and powers of two as contexts.
  for (let context = 4; context <= 2 ** 22; context *= 2) yield [1 / context, 4 / context];
  const [from, to] = [below || above / 8, Number.isFinite(above) ? above : below * 8];
  if (inside.length === 0) yield [from * (to / from) ** (1 / 3), from * (to / from) ** (2 / 3)];
  for (const { wave, share } of inside)
    for (let part = 0.5; part > 1e-6; part /= 2) {
      const low = wave - part * (wave - from);
      yield [low, low + ((wave - low) * (1 - least)) / (share - least)];
    }
}

function fits(scaling: JsonObject, divisors: Float32Array, theta: number, headDim: number): boolean {
  const [factor, highFreqFactor, originalMaxPositions] = [
    scaling.factor,
    scaling.high_freq_factor,
    scaling.original_max_position_embeddings,
  ].map(Number);
  if (!(highFreqFactor > 1)) return false;
  const plain = ropeFrequencies({ type: 'default', theta }, headDim).inverse;
  const rope = { type: 'llama3', theta, factor, lowFreqFactor: 1, highFreqFactor, originalMaxPositions } as const;
  const stretched = ropeFrequencies(rope, headDim).inverse;
  return divisors.every((divisor, k) => Math.abs(plain[k] / stretched[k] / divisor - 1) < 1e-5);
}

/** A number as people write it, where float32 may have blurred it. */
function decimals(value: number): number {
  const rounded = Number(value.toPrecision(4));
  return Math.abs(rounded / value - 1) < 1e-5 ? rounded : value;
}
