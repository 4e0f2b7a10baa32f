import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PeriodicSaver } from '../../../src/progress/index.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Saves take so many milliseconds. */
function slowProgress(duration: number): { saved: number[]; save: (state: number) => Promise<void> } {
  const saved: number[] = [];
  return {
    saved,
    save: async (state) => {
      vi.advanceTimersByTime(duration);
      saved.push(state);
    },
  };
}

describe('PeriodicSaver', () => {
  it('saves half a second after the start, and not again before another half', async () => {
    const progress = slowProgress(0);
    const saver = new PeriodicSaver(progress);
    for (let state = 1; state <= 12; state++) {
      vi.advanceTimersByTime(100);
      await saver.reached(state);
    }
    expect(progress.saved).toEqual([5, 10]);
  });

  it('takes at most a twentieth of the time for saving', async () => {
    const progress = slowProgress(100);
    const saver = new PeriodicSaver(progress);
    for (let state = 1; state <= 10; state++) {
      vi.advanceTimersByTime(500);
      await saver.reached(state);
    }
    // After the first save 20 times its 100 ms pass.
    expect(progress.saved).toEqual([1, 5, 9]);
  });

  it('saves at once where it must', async () => {
    const progress = slowProgress(0);
    await new PeriodicSaver(progress).reached(1, true);
    expect(progress.saved).toEqual([1]);
  });

  it('saves the last state, and what lies beside it first, when the work fails', async () => {
    const calls: string[] = [];
    const saver = new PeriodicSaver<number>({ save: async (state) => void calls.push(`state ${state}`) }, () =>
      calls.push('beside'),
    );
    const work = async (): Promise<void> => {
      await saver.reached(1);
      await saver.reached(2);
      throw new Error('interrupted');
    };
    await expect(saver.around(work)).rejects.toThrow('interrupted');
    expect(calls).toEqual(['beside', 'state 2']);
  });

  it('saves nothing twice, and nothing where there is no place for it', async () => {
    const progress = slowProgress(0);
    const saver = new PeriodicSaver(progress);
    await saver.reached(1, true);
    const failing = async (): Promise<void> => Promise.reject(new Error('interrupted'));
    await expect(saver.around(failing)).rejects.toThrow('interrupted');
    expect(progress.saved).toEqual([1]);

    const beside = vi.fn<() => void>();
    const nowhere = new PeriodicSaver<number>(undefined, beside);
    await nowhere.reached(1, true);
    await expect(nowhere.around(failing)).rejects.toThrow('interrupted');
    expect(beside).not.toHaveBeenCalled();
  });
});
