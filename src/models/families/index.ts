import { type JsonObject } from '../../checkpoint/index.js';
import { UserError, shownValue } from '../../engine/index.js';
import { checkAngles } from '../checkAngles.js';
import { completeConfig, rawConfig, type PartialConfig } from '../config.js';
import { ConfigReader } from '../configReader.js';
import type { ModelDescription } from '../description.js';
import type { Held } from '../held.js';
import { refuseUnknownKeys } from '../harmlessKeys.js';
import { refusePartialRotation } from '../rope.js';
import type { Family } from './family.js';
import { baichuan } from './baichuan.js';
import { deepseek } from './deepseek.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { granite } from './granite.js';
import { llama, mistral } from './llama.js';
import { mixtral } from './mixtral.js';
import { olmo2 } from './olmo2.js';
import { phi3 } from './phi3.js';
import { qwen2 } from './qwen2.js';
import { qwen2Moe } from './qwen2Moe.js';
import { qwen3 } from './qwen3.js';
import { qwen3Moe } from './qwen3Moe.js';
import { smollm3 } from './smollm3.js';

export type { Family } from './family.js';

/** Every family that can be loaded. */
export const families: readonly Family[] = [
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen2Moe,
  qwen3Moe,
  deepseek,
  gemma2,
  gemma3,
  phi3,
  olmo2,
  smollm3,
  granite,
  baichuan,
];

/** Model types that people ask for and that are not computed here: why. */
const refused: Readonly<Record<string, string>> = Object.fromEntries(
  ['deepseek_v2', 'deepseek_v3'].map((type) => [
    type,
    'its attention keeps one latent vector of each token in place of keys and values, which is not computed here',
  ]),
);

/** The family of a model type; undefined where there is none. */
export const familyOf = (modelType: string): Family | undefined =>
  families.find(({ types }) => types.includes(modelType));

/** The family of the text model in a multimodal one; undefined where the type is no such. */
export const familyWithin = (modelType: unknown): Family | undefined =>
  families.find(({ within }) => within?.types.includes(modelType as string));

export const modelTypes = (): string[] => families.flatMap(({ types }) => types);

/** What a `config.json` describes; `where` is it, for messages. Counts beyond what is `held` are refused by name. */
export function describeModel(config: JsonObject, where: string, held?: Held): ModelDescription {
  const modelType = new ConfigReader(config, where).text('model_type');
  const family = familyOf(modelType);
  if (!family)
    throw new UserError(
      `${where}: model type ${shownValue(modelType)} is not supported${Object.hasOwn(refused, modelType) ? `: ${refused[modelType]}` : ''}`,
      { hint: `${modelTypes().join(', ')} are` },
    );
  const read = new ConfigReader(config, where, held, family.defaults);
  const description = family.describe(read);
  checkAngles(read, description);
  refusePartialRotation(read);
  refuseUnknownKeys(read);
  return read.notes.length ? { ...description, notes: read.notes } : description;
}

/** The family that reads GGUF files of an architecture. UserError where there is none. */
export function ggufFamily(architecture: string, hasExperts: boolean, where: string): Family {
  const family = families.find(
    ({ gguf: { architectures, experts = false } }) => architectures.includes(architecture) && experts === hasExperts,
  );
  if (family) return family;
  throw new UserError(`${where}: GGUF files of architecture ${shownValue(architecture)} are not read`, {
    hint: `${[...new Set(families.flatMap(({ gguf }) => gguf.architectures))].join(', ')} are`,
  });
}

/** What a config given by a program describes. */
export const describeConfig = (config: PartialConfig, where = 'createModel'): ModelDescription =>
  describeModel({ ...rawConfig(completeConfig(config)), ...config.familyKeys }, where);
