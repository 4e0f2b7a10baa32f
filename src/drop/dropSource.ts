import { openCheckpoint } from '../checkpoint/index.js';
import { familyOf, parseConfig } from '../models/index.js';
import type { DropSource } from './writeDropped.js';

/** What is known of a model without its weights: enough to describe it and to write it without some modules. */
export async function openDropSource(folder: string): Promise<DropSource & AsyncDisposable> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const where = `${folder}/config.json`;
    const config = parseConfig(checkpoint.config, where);
    const specs = familyOf(config, where).weights(config);
    return { checkpoint, config, specs, [Symbol.asyncDispose]: () => checkpoint.close() };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}
