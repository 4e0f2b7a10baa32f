import { UserError, shownNames } from '../engine/index.js';
import { indexFile, isSideFile, namedWeights, singleFile } from '../checkpoint/index.js';

/** A file of a repository. */
export interface HubFile {
  /** In the repository. */
  readonly path: string;
  readonly bytes: number;
  /** sha256 of large files; of others git's: sha1 of `blob`, the length and the content. The cache keeps it under this name. */
  readonly checksum: string;
}

/**
 * What is read of a model's folder, of all that a repository holds: config, tokenizer and side files, and last its weights,
 * as one file or as the index of several. UserError where it has no weights that can be read.
 */
export function modelFiles(files: readonly HubFile[], repository: string): HubFile[] {
  const named = namedWeights(
    repository,
    files.map(({ path }) => path).filter((path) => !path.includes('/')),
  );
  const weights = named && files.find(({ path }) => path === (named.file ?? named.index));
  if (!weights) throw noWeights(files, repository);
  return [...files.filter(({ path }) => path === 'config.json' || isSideFile(path)), weights];
}

/** The files that patterns name, where `*` stands for any characters, slashes too, as for Python's download. */
export function includedFiles(files: readonly HubFile[], patterns: readonly string[], repository: string): HubFile[] {
  for (const pattern of patterns)
    if (!files.some(({ path }) => matches(pattern, path)))
      throw new UserError(`${repository} has no file ${pattern}`, {
        hint: `it has ${shownNames(files.map(({ path }) => path))}`,
      });
  return files.filter(({ path }) => patterns.some((pattern) => matches(pattern, path)));
}

const matches = (pattern: string, path: string): boolean => {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${escaped}$`, 's').test(path);
};

function noWeights(files: readonly HubFile[], repository: string): UserError {
  const ending = (end: RegExp): string[] => files.map(({ path }) => path).filter((path) => end.test(path));
  const ggufs = ending(/\.gguf$/);
  if (ggufs.length)
    return new UserError(`${repository} holds GGUF files and no ${singleFile}`, {
      hint: `choose one of them, such as hf:${repository}/${ggufs[0]}; there are ${shownNames(ggufs)}`,
    });
  const pickles = ending(/\.(bin|pt|pth)$/);
  const others = [...ending(/\.safetensors$/), ...pickles];
  const only = others.length ? `, only ${shownNames(others)}` : '';
  return new UserError(`${repository} has neither ${singleFile} nor ${indexFile}${only}`, {
    hint: pickles.length ? 'pickles are never opened: look for a revision or a repository with safetensors' : undefined,
  });
}
