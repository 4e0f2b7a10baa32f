import { ProgressFile, type Fingerprint } from '../progress/index.js';

/** What of a job goes on where it was interrupted. */
export type Resumable = 'score' | 'search' | 'refit' | 'quantize';

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
  readonly #out: string;

  constructor(
    out: string,
    private readonly onNote: ((note: string) => void) | undefined,
  ) {
    this.#out = out.replace(/[/\\]+$/, '');
  }

  async open<T>(
    kind: Resumable,
    inputs: () => Promise<Fingerprint>,
    way: Fingerprint = {},
  ): Promise<ProgressFile<T> | undefined> {
    if (kind === 'score') return undefined;
    const path = `${this.#out}${kind === 'search' ? '' : `.${kind}`}.progress`;
    const progress = await ProgressFile.open<T>(path, { ...(await inputs()), ...way });
    if (progress.changed) this.onNote?.(progress.changed);
    this.#opened.push(progress);
    return progress;
  }

  /** The result is there: what would continue the run goes. */
  async finished(): Promise<void> {
    for (const progress of this.#opened) await progress.remove();
  }
}
