import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError } from '../checkpoint/index.js';
import { fingerprintDifferences, type Fingerprint } from './fingerprint.js';

interface Saved<T> {
  readonly fingerprint: Fingerprint;
  readonly state: T;
}

/** Where a long run keeps how far it has come. */
export interface SavedProgress<T> {
  /** What the interrupted run saved; undefined where there was none, or none of the same inputs. */
  readonly previous: T | undefined;
  /** For what is too large for the state: hidden states, tensors made so far. */
  readonly folder: string;
  save(state: T): Promise<void>;
}

/**
 * How far an interrupted run has come, as JSON beside its result: numbers come back as they were, to the last bit.
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
  private constructor(
    readonly path: string,
    private readonly fingerprint: Fingerprint,
    readonly previous: T | undefined,
    /** Why progress that was found is not continued, as a sentence. */
    readonly changed: string | undefined,
  ) {}

  /** A folder for what is too large for JSON; it goes with the file. */
  get folder(): string {
    return `${this.path}.streams`;
  }

  /** Reads what an earlier run has left. A run on other inputs is never continued: `changed` says so. */
  static async open<T>(path: string, fingerprint: Fingerprint): Promise<ProgressFile<T>> {
    await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
      throw fileError(error, 'cannot write', path);
    });
    const saved = await readSaved<T>(path);
    if (saved && saved !== 'unreadable') {
      const changed = fingerprintDifferences(saved.fingerprint, fingerprint);
      if (changed.length === 0) return new ProgressFile(path, fingerprint, saved.state, undefined);
      return this.#anew(
        path,
        fingerprint,
        `${path} is of an interrupted run with other inputs (${changed.join(', ')}); starting anew`,
      );
    }
    return this.#anew(path, fingerprint, saved && `${path} cannot be read; starting anew`);
  }

  static async #anew<T>(path: string, fingerprint: Fingerprint, changed: string | undefined): Promise<ProgressFile<T>> {
    const file = new ProgressFile<T>(path, fingerprint, undefined, changed);
    await file.remove();
    return file;
  }

  /** Replaces the file whole: a run killed meanwhile leaves the earlier state. */
  async save(state: T): Promise<void> {
    const partial = `${this.path}.partial`;
    const saved: Saved<T> = { fingerprint: this.fingerprint, state };
    try {
      await writeFile(partial, JSON.stringify(saved));
      await rename(partial, this.path);
    } catch (error) {
      throw fileError(error, 'cannot write', this.path);
    }
  }

  async remove(): Promise<void> {
    for (const path of [this.path, `${this.path}.partial`, this.folder])
      await rm(path, { recursive: true, force: true });
  }
}

async function readSaved<T>(path: string): Promise<Saved<T> | 'unreadable' | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw fileError(error, 'cannot read', path);
  });
  if (text === undefined) return undefined;
  try {
    const saved = JSON.parse(text) as Partial<Saved<T>> | null;
    return saved?.fingerprint && saved.state !== undefined ? (saved as Saved<T>) : 'unreadable';
  } catch {
    return 'unreadable';
  }
}
