import { ProgressFile, fingerprintOf } from '../progress/index.js';
import {
  compensate,
  compensationModes,
  textLosses,
  type Compensation,
  type CompensationMode,
  type CompensationState,
} from '../drop/index.js';
import type { HeldOutText } from '../text/index.js';
import { UserError } from '../engine/index.js';
import type { LossResult } from '../evaluate/index.js';
import { Model, type Drops, type Parameters } from '../models/index.js';
import { number, type Option } from './options.js';
import { version } from './package.js';
import type { Ui } from './ui.js';

export const alphaOption: Option<number | undefined> = number(
  'how much a refit is held back, as a multiple of the mean of diag(Z’Z) (default: 1)',
);

export const modeWords = 'refit the output projection right before each drop, or all from there on';
export { compensationModes };

export interface CompensationJob {
  /** The whole model; its weights need not be loaded. */
  readonly whole: Model;
  /** The dropped model's weights, where they are not the whole one's. */
  readonly weights?: Parameters;
  readonly drops: Drops;
  readonly rows: readonly Int32Array[];
  readonly mode: CompensationMode;
  readonly alpha?: number;
  readonly maxMemory?: number;
  /** The folder to be written: the progress lies beside it. */
  readonly out: string;
}

/** Fails before the work where weights would be held in 4 bits. */
export function refuseInt4({ int4 }: { readonly int4: boolean }): void {
  if (int4)
    throw new UserError('a refit needs the weights as they are stored, so --int4 does not go with it', {
      hint: 'compensate first, and run the result with --int4',
    });
}

/** Refits, from where an interrupted run left off. */
export async function compensateFromProgress(
  { whole, weights, drops, rows, mode, alpha = 1, maxMemory, out }: CompensationJob,
  ui: Ui,
): Promise<{ compensation: Compensation; finished: () => Promise<void> }> {
  const separate = weights && new Model(whole.engine, whole.description, weights);
  const progress = await ProgressFile.open<CompensationState>(`${out.replace(/[/\\]+$/, '')}.refit.progress`, {
    ...(await fingerprintOf({
      model: whole,
      rows: { 'calibration tokens': rows },
      settings: { mode, alpha, drop: drops },
      version,
    })),
    ...(separate && {
      'weights of the dropped model': (await fingerprintOf({ model: separate, rows: {}, settings: {}, version }))
        .weights,
    }),
  });
  ui.note(progress.changed);
  if (progress.previous) ui.note(`continuing a refit behind ${progress.previous.refits.length} output projections`);
  const compensation = await compensate(whole, drops, rows, {
    mode,
    alpha,
    weights,
    progress,
    maxMemory,
    onProgress: ui.progress('refitting'),
    signal: ui.signal,
  });
  return { compensation, finished: () => progress.remove() };
}

/** The losses of a model that is loaded for them alone. */
export async function lossesOf(
  { engine, description }: Model,
  parameters: Parameters,
  drops: Drops,
  texts: readonly HeldOutText[],
  ui: Ui,
): Promise<LossResult[]> {
  if (texts.length === 0) return [];
  using model = new Model(engine, description, parameters);
  model.setDrops(drops);
  const loading = ui.progress('loading');
  await model.load((done, total) => loading(done, total, 'layers'));
  return await textLosses(model, texts, { onProgress: ui.progress('measuring'), signal: ui.signal });
}
