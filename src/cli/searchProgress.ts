import { fingerprintOf, ProgressFile } from '../progress/index.js';
import type { ChooseOptions, DropMethod, GreedyStep } from '../drop/index.js';
import type { Model } from '../models/index.js';
import { version } from './package.js';
import type { Ui } from './ui.js';

/** A search's steps lie beside the folder to be written until it is there: a killed search continues behind them. */
export async function openSearch(
  model: Model,
  method: DropMethod,
  calibration: readonly Int32Array[],
  out: string,
  ui: Ui,
): Promise<{ options: Pick<ChooseOptions, 'done' | 'onStep'>; finished(): Promise<void> }> {
  // The count is no part of what was searched: a search for more begins with the steps of one for fewer.
  const settings = { search: method.search, target: method.target, keep: method.keep };
  const rows = { 'calibration tokens': calibration };
  const progress = await ProgressFile.open<GreedyStep[]>(
    `${out.replace(/[/\\]+$/, '')}.progress`,
    await fingerprintOf({ model, rows, settings, version }),
  );
  if (progress.changed) ui.note(progress.changed);
  const steps = [...(progress.previous ?? [])];
  if (steps.length) ui.note(`continuing a search behind ${steps.length} of ${method.count} steps`);
  const onStep = async (step: GreedyStep): Promise<void> => {
    steps.push(step);
    await progress.save(steps);
  };
  return { options: { done: progress.previous, onStep }, finished: () => progress.remove() };
}
