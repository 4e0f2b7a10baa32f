import { UserError, shownValue } from '../../engine/index.js';
import { fileSystem } from '../files/index.js';
import { readJsonObject, type JsonObject } from '../jsonFile.js';

/** As PEFT calls them. */
export const adapterConfig = 'adapter_config.json';
export const adapterWeights = 'adapter_model.safetensors';

/** What the folder of an adapter says of it; undefined where there is no adapter. */
export async function readAdapterConfig(folder: string): Promise<JsonObject | undefined> {
  const isFolder = (await fileSystem.stat(folder).catch(() => undefined))?.isDirectory() === true;
  return isFolder ? readJsonObject(fileSystem.join(folder, adapterConfig)) : undefined;
}

/** A folder that holds an adapter alone is no model. */
export function adapterAlone(folder: string, { base_model_name_or_path: base }: JsonObject): UserError {
  const named = typeof base === 'string' && base ? `, of the model ${shownValue(base)}` : '';
  return new UserError(`${folder} is not a model, but an adapter for one${named}`, {
    hint: `give that model, and the adapter with \`adapter\` ${folder}`,
  });
}

/** An adapter beside the weights of a model, which is not merged into them. */
export const adapterBeside = (folder: string): string =>
  `${folder} holds an adapter beside the weights (${adapterConfig}), which is not merged into them: \`adapter\` ${folder} merges it`;
