import { ProgressFile, progressPaths, type Fingerprint } from '../progress/index.js';

/** What of a job goes on where it was interrupted. */
export type Resumable = 'score' | 'search' | 'refit' | 'quantize' | 'tasks' | 'beside';

/** Where jobs keep how far they have come until their result is safe. */
export interface Resume {
  /**
   * What an interrupted run has left of this, on the same inputs and in the same `way`, and where this run saves its own;
   * undefined where it is not kept. The way is what the result does not depend on, but what is kept on the way does.
   */
  open<T>(kind: Resumable, inputs: () => Promise<Fingerprint>, way?: Fingerprint): Promise<ProgressFile<T> | undefined>;
}

/**
 * Keeps progress in files beside the result: `OUT.refit.progress`; a search's is `OUT.progress`. Scores are not kept: what
 * is asked of them may be refused once they are there, and they would be left lying.
 */
export class ResumeBeside implements Resume {
  readonly #opened: ProgressFile<unknown>[] = [];

  constructor(
    private readonly out: string,
    private readonly onNote: ((note: string) => void) | undefined,
  ) {}

  async open<T>(
    kind: Resumable,
    inputs: () => Promise<Fingerprint>,
    way: Fingerprint = {},
  ): Promise<ProgressFile<T> | undefined> {
    if (kind === 'score') return undefined;
    const progress = await ProgressFile.open<T>(besideOf(this.out, kind), { ...(await inputs()), ...way });
    if (progress.changed) this.onNote?.(progress.changed);
    this.#opened.push(progress);
    return progress;
  }

  /** The result is there: what would continue the run goes. */
  async finished(): Promise<void> {
    for (const progress of this.#opened) await progress.remove();
  }
}

/** All paths that progress beside a result may be written to. */
export const progressBeside = (out: string): string[] =>
  (['search', 'refit', 'quantize'] as const).flatMap((kind) => progressPaths(besideOf(out, kind)));

/** The same beside a file of tasks' results, of one model or of two. */
export const taskProgressBeside = (out: string): string[] =>
  (['tasks', 'beside'] as const).flatMap((kind) => progressPaths(besideOf(out, kind)));

const besideOf = (out: string, kind: Resumable): string =>
  `${out.replace(/[/\\]+$/, '')}${kind === 'search' ? '' : `.${kind}`}.progress`;
