import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError, makeFolders } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { fileChecksum, readChecked, withChecksum } from './checksum.js';
import { fingerprintDifferences, type Fingerprint } from './fingerprint.js';

interface Saved<T> {
  readonly fingerprint: Fingerprint;
  readonly state: T;
  /** Checksums of files in the folder that the state relies on. */
  readonly files: Readonly<Record<string, string>>;
}

/** Where a long run keeps how far it has come. */
export interface SavedProgress<T> {
  /** What the interrupted run saved; undefined where there was none, or none of the same inputs. */
  readonly previous: T | undefined;
  /** For what is too large for the state: hidden states, tensors made so far. */
  readonly folder: string;
  /** `files` of the folder are complete by now and stay: a run that continues this one is sure to find them as they are. */
  save(state: T, files?: readonly string[]): Promise<void>;
}

/**
 * How far an interrupted run has come, as JSON beside its result: numbers come back as they were, to the last bit, or not
 * at all, since a checksum goes with them.
 *
 * ```ts
 * const progress = await ProgressFile.open<GreedyStep[]>('smaller.progress', await fingerprintOf(input));
 * if (progress.changed) note(progress.changed);
 * const steps = [...(progress.previous ?? [])];
 * await searchGreedily(model, rows, { done: progress.previous, onStep: (step) => progress.save((steps.push(step), steps)) });
 * await progress.remove();
 * ```
 */
export class ProgressFile<T> implements SavedProgress<T> {
  readonly #files: Record<string, string>;

  private constructor(
    readonly path: string,
    private readonly fingerprint: Fingerprint,
    readonly previous: T | undefined,
    /** Why progress that was found is not continued, as a sentence. */
    readonly changed: string | undefined,
    files: Readonly<Record<string, string>> = {},
  ) {
    this.#files = { ...files };
  }

  /** A folder for what is too large for JSON; it goes with the file. */
  get folder(): string {
    return folderOf(this.path);
  }

  /**
   * Reads what an earlier run has left. A run on other inputs is never continued: `changed` says so. UserError, with what
   * to remove, where a file is not as it was saved, or was saved by an earlier version, without a checksum.
   */
  static async open<T>(path: string, fingerprint: Fingerprint): Promise<ProgressFile<T>> {
    await makeFolders(dirname(path)).catch((error: unknown) => {
      throw fileError(error, 'cannot write', path);
    });
    const saved = await readChecked<Saved<T>>(path, toStartAnew(path));
    const changed = saved && fingerprintDifferences(saved.fingerprint, fingerprint);
    if (saved && changed?.length === 0) {
      await checkFiles(path, saved.files);
      return new ProgressFile(path, fingerprint, saved.state, undefined, saved.files);
    }
    const inputs = changed?.join(', ');
    const note = changed && `${path} is of an interrupted run with other inputs (${inputs}); starting anew`;
    const file = new ProgressFile<T>(path, fingerprint, undefined, note);
    await file.remove();
    return file;
  }

  /** Replaces the file whole: a run killed meanwhile leaves the earlier state. */
  async save(state: T, files: readonly string[] = []): Promise<void> {
    const partial = `${this.path}.partial`;
    for (const name of files) this.#files[name] ??= await fileChecksum(join(this.folder, name));
    const saved: Saved<T> = { fingerprint: this.fingerprint, state, files: this.#files };
    try {
      await writeFile(partial, JSON.stringify(withChecksum(saved)));
      await rename(partial, this.path);
    } catch (error) {
      throw fileError(error, 'cannot write', this.path);
    }
  }

  async remove(): Promise<void> {
    for (const path of progressPaths(this.path)) await rm(path, { recursive: true, force: true });
  }
}

/** All that a progress file may write: itself, and what lies beside it. */
export const progressPaths = (path: string): string[] => [path, `${path}.partial`, folderOf(path)];

const folderOf = (path: string): string => `${path}.streams`;

const toStartAnew = (path: string): string => `to start anew, remove ${path} and ${folderOf(path)}`;

async function checkFiles(path: string, files: Saved<unknown>['files']): Promise<void> {
  for (const [name, checksum] of Object.entries(files)) {
    const file = join(folderOf(path), name);
    const found = await fileChecksum(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw fileError(error, 'cannot read', file);
    });
    if (found !== checksum)
      throw new UserError(`${file} is ${found ? 'not as it was saved: its checksum is another' : 'missing'}`, {
        hint: toStartAnew(path),
      });
  }
}
