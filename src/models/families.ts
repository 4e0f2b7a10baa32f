import { UserError } from '../engine/index.js';
import type { ModelConfig } from './config.js';
import type { Family } from './family.js';
import { llama } from './llama.js';
import { mixtral } from './mixtral.js';

/** Every family that can be loaded. */
export const families: readonly Family[] = [llama, mixtral] as readonly Family<never, never>[] as readonly Family[];

export const modelTypes = (): string[] => families.flatMap(({ types }) => types);

export function familyOf({ modelType }: Pick<ModelConfig, 'modelType'>, where: string): Family {
  const family = families.find(({ types }) => types.includes(modelType));
  if (!family)
    throw new UserError(`${where}: model type '${modelType}' is not supported`, {
      hint: `${modelTypes().join(', ')} are`,
    });
  return family;
}
