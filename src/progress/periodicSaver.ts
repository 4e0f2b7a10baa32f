import type { SavedProgress } from './progressFile.js';

/** Time from one save to the next: at least so many milliseconds, and so many times what saving takes. */
const interval = { least: 500, times: 20 };

/** Saves now and then how far a run has come, and once more when it is interrupted. */
export class PeriodicSaver<T> {
  /** When the next save is due. */
  #due = Date.now() + interval.least;
  #unsaved: T | undefined;

  constructor(
    /** Where to; nothing is saved without. */
    private readonly progress: Pick<SavedProgress<T>, 'save'> | undefined,
    /** Called before a state is saved, to write what lies beside it. */
    private readonly beforeSave?: () => void,
  ) {}

  /** The run has come to this state, which is saved when it is due, or `now`. */
  async reached(state: T, now = false): Promise<void> {
    if (!this.progress) return;
    this.#unsaved = state;
    if (now || Date.now() >= this.#due) await this.#save();
  }

  /** Runs `work`; where it throws, the last state is saved first. */
  async around(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.#save();
      throw error;
    }
  }

  async #save(): Promise<void> {
    if (this.#unsaved === undefined) return;
    const start = Date.now();
    this.beforeSave?.();
    await this.progress!.save(this.#unsaved);
    this.#unsaved = undefined;
    const end = Date.now();
    this.#due = end + Math.max(interval.least, interval.times * (end - start));
  }
}
