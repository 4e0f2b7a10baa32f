import { fileError, systemErrorCode } from './fileError.js';
import { fileSystem } from './files/index.js';
import { makeFolders } from './makeFolders.js';
import { quantizationFiles } from './int4/quantizationFiles.js';
import type { SideFiles } from './modelSource.js';
import { moreTemplates } from './tokenizer/index.js';

/** The files of a model folder that depend on the vocabulary only, not on the layers. */
export const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'vocab.txt',
  'tekken.json',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
] as const;

/** Of LLM-Drop's folders. */
export const dropFiles = ['reserved_layers.json', 'layer_mapping.json', 'drop_report.json'];

/** Whether a file of a model folder is one of those that may go along with its weights, by its path in the folder. */
export const isSideFile = (path: string): boolean =>
  [...tokenizerFiles, ...dropFiles, ...Object.keys(quantizationFiles)].includes(path) ||
  new RegExp(`^(${moreTemplates}/[^/]+\\.jinja|[^/]+\\.py)$`).test(path);

/** Copies those that exist in a model folder, byte for byte; returns their names. */
export async function copySideFiles(what: SideFiles, from: string, to: string): Promise<string[]> {
  switch (what) {
    case 'tokenizer':
      return [...(await copyPresent(from, to, tokenizerFiles)), ...(await copyTemplates(from, to))];
    case 'quantization':
      return copyPresent(from, to, Object.keys(quantizationFiles));
    case 'drops':
      return copyPresent(from, to, [
        ...dropFiles,
        ...(await fileSystem.readdir(from)).filter((name) => name.endsWith('.py')),
      ]);
  }
}

/** Chat templates beside the default one, as `additional_chat_templates/tool_use.jinja`. */
async function copyTemplates(from: string, to: string): Promise<string[]> {
  const names = await fileSystem.readdir(fileSystem.join(from, moreTemplates)).catch(() => []);
  const templates = names.filter((name) => name.endsWith('.jinja')).map((name) => fileSystem.join(moreTemplates, name));
  if (templates.length) await makeFolders(fileSystem.join(to, moreTemplates));
  return copyPresent(from, to, templates);
}

async function copyPresent(from: string, to: string, names: readonly string[]): Promise<string[]> {
  const copied: string[] = [];
  for (const name of names) {
    try {
      await fileSystem.copyFile(fileSystem.join(from, name), fileSystem.join(to, name));
      copied.push(name);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw fileError(error, 'cannot copy', fileSystem.join(from, name));
    }
  }
  return copied;
}
