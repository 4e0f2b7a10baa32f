import { openCheckpoint, type ModelSource } from '../checkpoint/index.js';
import type { ModelConfig } from './config.js';
import type { ModelDescription } from './description.js';
import { describeModel } from './families/index.js';

/** A model that is open and not loaded: where it comes from, and what it is. A `LoadedModel` is one, too. */
export interface OpenedModel {
  readonly source: ModelSource;
  readonly description: ModelDescription;
  /** Of the description. */
  readonly config: ModelConfig;
}

/** Opens a model's folder and reads its config; of the weights, the headers alone. Everything wrong in it is a UserError. */
export async function openModel(path: string): Promise<OpenedModel & AsyncDisposable> {
  const source = await openCheckpoint(path);
  try {
    const description = describeSource(source);
    return { source, description, config: description.config, [Symbol.asyncDispose]: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** What a source's config describes. */
export const describeSource = ({ config, folder }: Pick<ModelSource, 'config' | 'folder'>): ModelDescription =>
  describeModel(config, `${folder}/config.json`);
