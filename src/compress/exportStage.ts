import { join } from 'node:path';
import { exportCheckpoint } from '../jobs/index.js';
import { exportName, type RecipeExport } from './recipe.js';
import type { Job, StageState } from './stage.js';

/** Folder of an export stage's result that holds the exported model. */
export const exported = 'export';

/** Writes the model for another engine; its card tells the loss that `drop_report.json` has. */
export async function exportStage(job: Job, one: RecipeExport): Promise<StageState> {
  const { engine, base, adapter, from, place, onProgress, onNote, signal } = job;
  const { drops, size } = job.done.at(-1)!;
  return place.finish(async (folder) => {
    const file = exportName(job.name, one);
    const result = await exportCheckpoint(from, {
      ...{ to: one.to, type: one.type ?? undefined, zero: one.zero },
      ...{ out: join(folder, exported, file), engine, onProgress, onNote, signal },
      adapter: from === base ? adapter : undefined,
    });
    const { notes } = result;
    return { stage: 'export', drops, size, loss: null, notes, exported: { ...result, out: join('exports', file) } };
  });
}
