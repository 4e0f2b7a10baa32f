import { shownValue, type JsonObject } from '../../checkpoint/index.js';
import { UserError } from '../../engine/index.js';
import { checkAngles } from '../checkAngles.js';
import { completeConfig, rawConfig, type PartialConfig } from '../config.js';
import { ConfigReader } from '../configReader.js';
import type { ModelDescription } from '../description.js';
import type { Held } from '../held.js';
import { refuseUnknownKeys } from '../harmlessKeys.js';
import { refusePartialRotation } from '../rope.js';
import type { Family } from './family.js';
import { baichuan } from './baichuan.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { granite } from './granite.js';
import { llama, mistral } from './llama.js';
import { mixtral } from './mixtral.js';
import { olmo2 } from './olmo2.js';
import { phi3 } from './phi3.js';
import { qwen2 } from './qwen2.js';
import { smollm3 } from './smollm3.js';
import { qwen3 } from './qwen3.js';

export type { Family } from './family.js';

/** Every family that can be loaded. */
export const families: readonly Family[] = [
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  phi3,
  olmo2,
  smollm3,
  granite,
  baichuan,
];

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
    throw new UserError(`${where}: model type ${shownValue(modelType)} is not supported`, {
      hint: `${modelTypes().join(', ')} are`,
    });
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
