import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { quantizationFiles } from '../int4/quantizationFiles.js';
import { dropFiles, tokenizerFiles } from '../sideFiles.js';
import { moreTemplates } from '../tokenizer/index.js';
import { isOwnCard } from './checkFile.js';

/** What a folder of one kind holds: files by their names, and folders of other kinds. */
interface FolderKind {
  isFile(name: string): boolean;
  folder(name: string): FolderKind | undefined;
}

const modelFiles = new Set<string>([
  ...['config.json', 'model.safetensors', 'model.safetensors.index.json', 'README.md'],
  ...tokenizerFiles,
  ...dropFiles,
  ...Object.keys(quantizationFiles),
  ...['quantize_report.json', 'recipe.json', 'compress_report.json'],
]);
/** Shards, and the model's code as transformers names it. */
const modelPatterns = [/^model-\d+-of-\d+\.safetensors$/, /^(configuration|modeling|tokenization)_\w+\.py$/];

const modelFolder: FolderKind = {
  isFile: (name) => modelFiles.has(name) || modelPatterns.some((pattern) => pattern.test(name)),
  folder: (name) => ({ [moreTemplates]: templates, exports: exported })[name],
};
const templates: FolderKind = { isFile: (name) => name.endsWith('.jinja'), folder: () => undefined };
const exported: FolderKind = { isFile: (name) => /\.(gguf|md)$/.test(name), folder: () => modelFolder };

/** What lies in a folder and is no part of a model as llm-drop writes it: names relative to the folder, in order. */
export async function otherFiles(folder: string, kind = modelFolder, within = ''): Promise<string[]> {
  const others: string[] = [];
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const [name, path] = [join(within, entry.name), join(folder, entry.name)];
    const below = entry.isDirectory() ? kind.folder(entry.name) : undefined;
    if (below) others.push(...(await otherFiles(path, below, name)));
    else if (entry.isDirectory() || !kind.isFile(entry.name) || !(await isOwnCard(path))) others.push(name);
  }
  return others;
}
