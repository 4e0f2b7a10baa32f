import { exists } from './exists.js';
import { fileSystem } from './files/index.js';
import { weightFileNames } from './weightFiles.js';

/** Files of which a tokenizer needs one. */
const vocabularies = ['tokenizer.json', 'tokenizer.model', 'vocab.json'];

/** Whether a folder has a config, weights with all their shards, and a tokenizer: a download may have ended early. */
export async function isWholeModel(folder: string): Promise<boolean> {
  const has = (name: string): Promise<boolean> => exists(fileSystem.join(folder, name));
  const [config, ...vocabulary] = await Promise.all(['config.json', ...vocabularies].map(has));
  if (!config || !vocabulary.includes(true)) return false;
  const weights = await weightFileNames(folder);
  return weights.length > 0 && (await Promise.all(weights.map(has))).every(Boolean);
}
