import { claimOutputs } from '../checkpoint/index.js';
import type { LossResult } from '../evaluate/index.js';
import type { JobOptions } from './jobOptions.js';
import { ResumeBeside, progressBeside, type Resume } from './resume.js';

/** The folder that a job writes a model to. */
export interface ModelFolderOptions extends Pick<JobOptions, 'onNote'> {
  readonly out: string;
  /** Replace a model folder that is already there, and holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
}

/** A model that is worked out, to be written. */
export interface ModelToWrite<R> extends AsyncDisposable {
  readonly record: R;
  /** On the held-out rows, or of several texts on the first; null where it was not measured. */
  readonly loss: LossResult | null;
  write(out: string, o?: { readonly overwrite?: boolean }): Promise<void>;
}

/** Refuses, before any work, a folder that cannot be written beside what is read; keeps other runs away from it. */
export const claimModelFolder = (
  { out, overwrite = false }: ModelFolderOptions,
  reads: readonly (string | undefined)[],
): Promise<AsyncDisposable> =>
  claimOutputs({ reads, writes: [{ path: out, kind: 'folder', overwrite, beside: progressBeside(out) }] });

/** Works a model out, going on from what an interrupted run has left beside the folder, and writes it. */
export async function writtenModel<R>(
  { out, overwrite, onNote }: ModelFolderOptions,
  workOut: (resume: Resume) => Promise<ModelToWrite<R>>,
): Promise<R> {
  const resume = new ResumeBeside(out, onNote);
  await using model = await workOut(resume);
  await model.write(out, { overwrite });
  await resume.finished();
  return model.record;
}
