import { copyFile, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { exists, fileError, isWholeModel, makeFolders, splitParts, systemErrorCode } from '../checkpoint/index.js';
import type { HubName } from './hubName.js';

/**
 * A repository in the cache that huggingface_hub has laid out, and shares: `blobs/` holds contents by their checksums,
 * `snapshots/COMMIT/` links to them by their names, `refs/REVISION` tells the commit of a branch or a tag.
 */
export class CachedRepository {
  readonly #folder: string;

  constructor(
    readonly cache: string,
    repository: string,
  ) {
    this.#folder = join(cache, folderOf(repository));
  }

  /** Where the content with a checksum is, or would be. */
  blob(checksum: string): string {
    return join(this.#folder, 'blobs', checksum);
  }

  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit);
  }

  /** The commit of a revision, as it was when that was last pulled. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.#folder, 'refs', revision), 'utf8').catch(() => '');
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.#folder, 'refs', revision);
    await writing(path, async () => {
      await makeFolders(dirname(path));
      // Whoever reads it meanwhile finds the one or the other.
      const whole = `${path}.${process.pid}.tmp`;
      await writeFile(whole, commit);
      await rename(whole, path);
    });
  }

  /** Whether a snapshot has a file, with its content. */
  has(commit: string, path: string): Promise<boolean> {
    return exists(join(this.snapshot(commit), path));
  }

  /** Puts a content that is there into a snapshot. */
  async link(commit: string, path: string, checksum: string): Promise<void> {
    const [link, blob] = [join(this.snapshot(commit), path), this.blob(checksum)];
    await writing(link, async () => {
      await makeFolders(dirname(link));
      await rm(link, { force: true });
      await symlink(relative(dirname(link), blob), link).catch(async (error: unknown) => {
        // As huggingface_hub does where there are no links, on Windows for one.
        if (systemErrorCode(error) !== 'EPERM') throw error;
        await copyFile(blob, link);
      });
    });
  }

  /** The path of a model that is there with all that it takes to load it: its snapshot, or the file in it. */
  async find({ revision, file }: HubName): Promise<string | undefined> {
    const commit = await this.commitOf(revision);
    if (commit === undefined) return undefined;
    const folder = this.snapshot(commit);
    if (file === undefined) return (await isWholeModel(folder)) ? folder : undefined;
    const there = await Promise.all(splitParts(file).map((part) => this.has(commit, part)));
    return there.every(Boolean) ? join(folder, file) : undefined;
  }

  /** What a lock of this repository is named after. */
  get lock(): string {
    return join(this.cache, '.locks', this.#folder.slice(this.cache.length + 1), 'pull');
  }
}

async function writing(path: string, write: () => Promise<void>): Promise<void> {
  await write().catch((error: unknown) => {
    throw fileError(error, 'cannot write', path);
  });
}

const folderOf = (repository: string): string => ['models', ...repository.split('/')].join('--');

const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);
