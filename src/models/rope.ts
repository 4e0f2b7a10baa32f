import { shownValue, type JsonObject } from '../checkpoint/index.js';
import { UserError, type Engine, type Rotary, type Tensor } from '../engine/index.js';
import { positive, type ConfigReader } from './configReader.js';

/** Rotary position embedding (Su et al., 2021) and how it is stretched for longer contexts. */
export type RopeParameters =
  | { readonly type: 'default'; readonly theta: number }
  | { readonly type: 'linear'; readonly theta: number; readonly factor: number }
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
function ropeObject(read: ConfigReader): JsonObject {
  const [older, newer] = ['rope_scaling', 'rope_parameters'].map((name) => {
    const { type, ...keys } = objectOf(read, name);
    return type === undefined ? keys : { rope_type: type, ...keys };
  });
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

/** From `rope_parameters` (v5), or `rope_theta` and `rope_scaling` (v4). */
export function parseRope(read: ConfigReader, maxPositions: number): RopeParameters {
  const { where } = read;
  const scaling = ropeObject(read);
  const number = (key: string, fallback?: number): number => {
    const value = scaling[key] ?? fallback;
    if (typeof value !== 'number')
      throw new UserError(
        `${where}: the rope scaling needs a number ${key}${value === undefined ? '' : `, found ${shownValue(value)}`}`,
      );
    return positive(where, key === 'rope_theta' ? key : `${key} of the rope scaling`, value);
  };
  const theta = number('rope_theta', read.value('rope_theta') as number | undefined);
  const type: unknown = scaling.rope_type ?? 'default';
  switch (type) {
    case 'default':
      return { type, theta };
    case 'linear':
      return { type, theta, factor: number('factor') };
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
        originalMaxPositions: number('original_max_position_embeddings', maxPositions),
      };
    }
    case 'yarn': {
      if (theta <= 1) throw new UserError(`${where}: rope_theta must be above 1 beside YaRN, found ${theta}`);
      const originalMaxPositions = number('original_max_position_embeddings', maxPositions);
      const factor = number('factor');
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
        { hint: 'default, linear, llama3 and yarn are' },
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
      return { ...plain, factor: rope.factor };
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

/** Inverse frequencies [headDim / 2], and what cosines and sines are multiplied by. */
export function ropeFrequencies(rope: RopeParameters, headDim: number): { inverse: Float64Array; factor: number } {
  const plain = Float64Array.from({ length: headDim / 2 }, (_, k) => rope.theta ** ((-2 * k) / headDim));
  switch (rope.type) {
    case 'default':
      return { inverse: plain, factor: 1 };
    case 'linear':
      return { inverse: plain.map((f) => f / rope.factor), factor: 1 };
    case 'llama3':
      return { inverse: plain.map((f) => llama3Frequency(f, rope)), factor: 1 };
    case 'yarn':
      return { inverse: yarnFrequencies(plain, headDim, rope), factor: rope.attentionFactor };
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

/** Cosines and sines on the device, [rows, headDim / 2], one row a position. */
function rotaryTable(engine: Engine, rope: RopeParameters, headDim: number, rows: number): Rotary<Tensor> {
  const half = headDim / 2;
  const { inverse, factor } = ropeFrequencies(rope, headDim);
  // Angles are rounded to float32, as in transformers.
  const angles = Float32Array.from(
    { length: rows * half },
    (_, i) => Math.floor(i / half) * Math.fround(inverse[i % half]),
  );
  const table = (f: (angle: number) => number): Tensor => {
    using made = engine.tensor(
      angles.map((angle) => f(angle) * factor),
      [rows, half],
    );
    return made.detach();
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** Cosines and sines by the way in which layers turn queries and keys. */
export type Rotaries = ReadonlyMap<RopeParameters, Rotary<Tensor>>;

/** What turns some layers' queries and keys. */
export interface Turning {
  readonly rope?: RopeParameters;
  readonly headDim: number;
  /** @defaultValue headDim */
  readonly rotaryDim?: number;
}

/** The tables of all layers of a model, grown as longer sequences come: one for each way to turn, most often one. */
export class RotaryTables implements Disposable {
  #tables: Rotaries = new Map();
  #rows = 0;

  constructor(
    private readonly engine: Engine,
    private readonly layers: readonly Turning[],
  ) {}

  /** Tables of at least `positions` rows: made before a pass, since one that is recorded must not make any. Other tables are another map. */
  upTo(positions: number): Rotaries {
    if (positions <= this.#rows) return this.#tables;
    this.dispose();
    this.#rows = Math.max(64, 2 ** Math.ceil(Math.log2(positions)));
    const tables = new Map<RopeParameters, Rotary<Tensor>>();
    for (const { rope, headDim, rotaryDim = headDim } of this.layers)
      if (rope && !tables.has(rope)) tables.set(rope, rotaryTable(this.engine, rope, rotaryDim, this.#rows));
    return (this.#tables = tables);
  }

  dispose(): void {
    for (const { cos, sin } of this.#tables.values()) [cos, sin].forEach((table) => table.dispose());
    this.#tables = new Map();
    this.#rows = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
