import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { singleFile } from './shards.js';
import { shardNames } from './weightFiles.js';

/** Files of which a tokenizer needs one. */
const vocabularies = ['tokenizer.json', 'tokenizer.model', 'vocab.json'];

/** Whether a folder has a config, weights with all their shards, and a tokenizer: a download may have ended early. */
export async function isWholeModel(folder: string): Promise<boolean> {
  const has = (name: string): Promise<boolean> =>
    access(join(folder, name)).then(
      () => true,
      () => false,
    );
  const [config, weights, ...vocabulary] = await Promise.all(['config.json', singleFile, ...vocabularies].map(has));
  if (!config || !vocabulary.includes(true)) return false;
  if (weights) return true;
  const shards = await shardNames(folder);
  return shards.length > 0 && (await Promise.all(shards.map(has))).every(Boolean);
}
