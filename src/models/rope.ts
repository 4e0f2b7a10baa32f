import { type JsonObject } from '../checkpoint/index.js';
import { UserError, shownValue } from '../engine/index.js';
import { positive, type ConfigReader } from './configReader.js';

/** Rotary position embedding (Su et al., 2021) and how it is stretched for longer contexts. */
export type RopeParameters =
  | { readonly type: 'default'; readonly theta: number }
  | { readonly type: 'linear'; readonly theta: number; readonly factor: number }
  | {
      /** The base grows with texts that are longer than `maxPositions`. */
      readonly type: 'dynamic';
      readonly theta: number;
      readonly factor: number;
      readonly maxPositions: number;
    }
  | {
      /** Each frequency has a divisor for texts of up to `originalMaxPositions`, and another for longer ones. */
      readonly type: 'longrope';
      readonly theta: number;
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalMaxPositions: number;
      readonly attentionFactor: number;
    }
  | {
      readonly type: 'llama3';
      readonly theta: number;
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly type: 'yarn';
      readonly theta: number;
      readonly factor: number;
      readonly originalMaxPositions: number;
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Round the ramp's ends to whole dimensions. */
      readonly truncate: boolean;
    };

/**
 * What either version of transformers says of the rotation. Some files have both, of which v5 reads `rope_scaling` alone, and
 * older versions know no other: they must agree.
 */
function ropeObject(read: ConfigReader, layers?: string): JsonObject {
  const parameters = objectOf(read, 'rope_parameters');
  const own = layers === undefined ? undefined : (parameters[layers] as JsonObject | undefined);
  const [older, newer] = [objectOf(read, 'rope_scaling'), own ?? parameters].map(({ type, ...keys }) =>
    type === undefined ? keys : { rope_type: type, ...keys },
  );
  for (const key of Object.keys(newer))
    if (key in older && shownValue(older[key]) !== shownValue(newer[key]))
      read.fail(
        `rope_scaling and rope_parameters differ in ${key}: ${shownValue(older[key])} and ${shownValue(newer[key])}`,
        'remove what is wrong',
      );
  return { ...older, ...newer };
}

/** How many of a head's values turn, of 1: `partial_rotary_factor`, which v5 has in `rope_parameters`. */
export function partialRotaryFactor(read: ConfigReader): number {
  const [outer, inner] = [read.value(partialKey), ropeObject(read)[partialKey]];
  const factor = inner ?? outer ?? 1;
  if (typeof factor !== 'number' || !(factor > 0 && factor <= 1))
    read.fail(`${partialKey} must be a number above 0 and at most 1, found ${shownValue(factor)}`);
  return factor;
}

/** Refuses a part of the rotation that the family has not asked for. */
export function refusePartialRotation(read: ConfigReader): void {
  if (read.asked.has(partialKey)) return;
  const factor = partialRotaryFactor(read);
  if (factor !== 1)
    read.fail(
      `${partialKey} (${factor}) is not known of model type ${shownValue(read.value('model_type'))}, and may change what the model computes`,
    );
}

const partialKey = 'partial_rotary_factor';

/**
 * From `rope_parameters` (v5), or `rope_theta` and `rope_scaling` (v4). v5 names the parameters of each kind of layer
 * where these differ: `layers` is the kind.
 */
export function parseRope(read: ConfigReader, maxPositions: number, layers?: string): RopeParameters {
  const { where } = read;
  const scaling = ropeObject(read, layers);
  const number = (key: string, fallback?: number): number => {
    const value = scaling[key] ?? fallback;
    if (typeof value !== 'number')
      throw new UserError(
        `${where}: the rope scaling needs a number ${key}${value === undefined ? '' : `, found ${shownValue(value)}`}`,
      );
    return positive(where, key === 'rope_theta' ? key : `${key} of the rope scaling`, value);
  };
  const factors = (key: string): number[] => {
    const list = scaling[key];
    if (!Array.isArray(list) || !list.every((value) => typeof value === 'number'))
      throw new UserError(`${where}: the rope scaling needs a list of numbers ${key}, found ${shownValue(list)}`);
    return list.map((value) => positive(where, `${key} of the rope scaling`, value));
  };
  /** A number beside the scaling comes before one within, as in transformers. */
  const originalLength = (): number => {
    const key = 'original_max_position_embeddings';
    const beside = read.optionalCount(key);
    return Object.hasOwn(read.raw, key) && beside !== undefined ? beside : number(key, beside ?? maxPositions);
  };
  const theta = number('rope_theta', read.value('rope_theta') as number | undefined);
  const type: unknown = scaling.rope_type ?? 'default';
  switch (type) {
    case 'default':
      return { type, theta };
    case 'linear':
      return { type, theta, factor: number('factor') };
    case 'dynamic':
      return { type, theta, factor: number('factor'), maxPositions };
    case 'su': // as the first files called it
    case 'longrope': {
      const originalMaxPositions = originalLength();
      const stretch = number('factor', maxPositions / originalMaxPositions);
      const usual = stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(originalMaxPositions));
      return {
        type: 'longrope',
        theta,
        shortFactors: factors('short_factor'),
        longFactors: factors('long_factor'),
        originalMaxPositions,
        attentionFactor: number('attention_factor', usual),
      };
    }
    case 'llama3': {
      const [lowFreqFactor, highFreqFactor] = [number('low_freq_factor'), number('high_freq_factor')];
      if (lowFreqFactor >= highFreqFactor)
        throw new UserError(
          `${where}: low_freq_factor of the rope scaling must be below high_freq_factor, found ${lowFreqFactor} and ${highFreqFactor}`,
        );
      return {
        type,
        theta,
        factor: number('factor'),
        lowFreqFactor,
        highFreqFactor,
        originalMaxPositions: originalLength(),
      };
    }
    case 'yarn': {
      if (theta <= 1) throw new UserError(`${where}: rope_theta must be above 1 beside YaRN, found ${theta}`);
      const originalMaxPositions = originalLength();
      const stretch = maxPositions / originalMaxPositions;
      // Null stands for the ratio of both lengths; one that is left out must follow from these.
      const factor = number('factor', stretch === 1 && scaling.factor === undefined ? undefined : stretch);
      const attentionFactor = number('attention_factor', yarnAttentionFactor(factor, scaling));
      if (attentionFactor > largestAttentionFactor)
        throw new UserError(
          `${where}: attention_factor of the rope scaling must be at most ${largestAttentionFactor}, found ${attentionFactor}`,
        );
      return {
        type,
        theta,
        factor,
        originalMaxPositions,
        attentionFactor,
        betaFast: number('beta_fast', 32),
        betaSlow: number('beta_slow', 1),
        truncate: scaling.truncate !== false,
      };
    }
    default:
      throw new UserError(
        typeof type === 'string'
          ? `${where}: rope type ${shownValue(type)} is not supported`
          : `${where}: rope_type must be a text, found ${shownValue(type)}`,
        { hint: 'default, linear, dynamic, llama3, yarn and longrope are' },
      );
  }
}

/** Scores grow with its square, in float32; what models have is near 1. */
const largestAttentionFactor = 1e6;

function objectOf(read: ConfigReader, key: string): JsonObject {
  const value = read.value(key) ?? {};
  if (typeof value !== 'object' || Array.isArray(value))
    read.fail(`${key} must be an object, found ${shownValue(value)}`);
  return value as JsonObject;
}

/** As `rope_parameters` of transformers v5 say it. */
export function rawRope(rope: RopeParameters): JsonObject {
  const plain = { rope_type: rope.type, rope_theta: rope.theta };
  switch (rope.type) {
    case 'default':
      return plain;
    case 'linear':
    case 'dynamic':
      return { ...plain, factor: rope.factor };
    case 'longrope':
      return {
        ...plain,
        short_factor: rope.shortFactors,
        long_factor: rope.longFactors,
        original_max_position_embeddings: rope.originalMaxPositions,
        attention_factor: rope.attentionFactor,
      };
    case 'llama3':
      return {
        ...plain,
        factor: rope.factor,
        low_freq_factor: rope.lowFreqFactor,
        high_freq_factor: rope.highFreqFactor,
        original_max_position_embeddings: rope.originalMaxPositions,
      };
    case 'yarn':
      return {
        ...plain,
        factor: rope.factor,
        original_max_position_embeddings: rope.originalMaxPositions,
        attention_factor: rope.attentionFactor,
        beta_fast: rope.betaFast,
        beta_slow: rope.betaSlow,
        truncate: rope.truncate,
      };
  }
}

function yarnAttentionFactor(factor: number, { mscale, mscale_all_dim: mscaleAllDim }: JsonObject): number {
  const scale = (m: number): number => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  if (typeof mscale === 'number' && typeof mscaleAllDim === 'number' && mscale && mscaleAllDim)
    return scale(mscale) / scale(mscaleAllDim);
  return scale(1);
}

/**
 * The shortest text whose angles are those of a text of `length` tokens: with most scalings, all texts turn alike.
 */
export function turningLength(rope: RopeParameters, length: number): number {
  if (rope.type === 'dynamic') return Math.max(length, rope.maxPositions);
  if (rope.type === 'longrope') return length > rope.originalMaxPositions ? rope.originalMaxPositions + 1 : 1;
  return 1;
}

/** Whether angles depend on how long the text is. */
export const changesWithLength = ({ type }: RopeParameters): boolean => type === 'dynamic' || type === 'longrope';

/** Inverse frequencies [size / 2] of a text of `length` tokens, and what cosines and sines are multiplied by. */
export function ropeFrequencies(
  rope: RopeParameters,
  size: number,
  length = 1,
): { inverse: Float64Array; factor: number } {
  const powers = (theta: number): Float64Array =>
    Float64Array.from({ length: size / 2 }, (_, k) => theta ** ((-2 * k) / size));
  const plain = powers(rope.theta);
  switch (rope.type) {
    case 'default':
      return { inverse: plain, factor: 1 };
    case 'linear':
      return { inverse: plain.map((f) => f / rope.factor), factor: 1 };
    case 'dynamic': {
      const growth = (rope.factor * turningLength(rope, length)) / rope.maxPositions - (rope.factor - 1);
      return { inverse: powers(rope.theta * growth ** (size / (size - 2))), factor: 1 };
    }
    case 'longrope': {
      const divisors = length > rope.originalMaxPositions ? rope.longFactors : rope.shortFactors;
      return { inverse: plain.map((f, k) => f / divisors[k]), factor: rope.attentionFactor };
    }
    case 'llama3':
      return { inverse: plain.map((f) => llama3Frequency(f, rope)), factor: 1 };
    case 'yarn':
      return { inverse: yarnFrequencies(plain, size, rope), factor: rope.attentionFactor };
  }
}

/** Long waves are stretched, short ones kept, with a ramp between (Llama 3.1). */
function llama3Frequency(frequency: number, rope: RopeParameters & { type: 'llama3' }): number {
  const wavelength = (2 * Math.PI) / frequency;
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: context } = rope;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const smooth = (context / wavelength - low) / (high - low);
  return (1 - smooth) * (frequency / factor) + smooth * frequency;
}

/** Interpolates low frequencies, keeps high ones (Peng et al., 2023, section 3.2). */
function yarnFrequencies(plain: Float64Array, headDim: number, rope: RopeParameters & { type: 'yarn' }): Float64Array {
  const dimension = (rotations: number): number =>
    (headDim * Math.log(rope.originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta));
  const [fast, slow] = [dimension(rope.betaFast), dimension(rope.betaSlow)];
  const low = Math.max(rope.truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(rope.truncate ? Math.ceil(slow) : slow, headDim - 1);
  const width = low === high ? 0.001 : high - low;
  return plain.map((frequency, k) => {
    const interpolated = Math.min(Math.max((k - low) / width, 0), 1);
    return (frequency / rope.factor) * interpolated + frequency * (1 - interpolated);
  });
}
