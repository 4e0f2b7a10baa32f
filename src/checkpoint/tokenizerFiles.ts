import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, systemErrorCode } from './fileError.js';

/** The files of a model folder that depend on the vocabulary only, not on the layers. */
export const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'chat_template.jinja',
  'generation_config.json',
] as const;

/** Copies those that exist, byte for byte; returns their names. */
export const copyTokenizerFiles = (from: string, to: string): Promise<string[]> =>
  copyPresent(from, to, tokenizerFiles);

export async function copyPresent(from: string, to: string, names: readonly string[]): Promise<string[]> {
  const copied: string[] = [];
  for (const name of names) {
    try {
      await copyFile(join(from, name), join(to, name));
      copied.push(name);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw fileError(error, 'cannot copy', join(from, name));
    }
  }
  return copied;
}
