import { join } from 'node:path';
import { exportModel } from '../export/index.js';
import { exportName, type RecipeExport } from './recipe.js';
import type { Job, StageState } from './stage.js';

/** In an export's stage, the folder that holds it. */
export const exported = 'export';

/** Writes the model for another engine; its card tells the loss that `drop_report.json` has. */
export async function exportStage(job: Job, one: RecipeExport): Promise<StageState> {
  const { engine, from, place, stage } = job;
  const { format, type, zero } = one;
  const { drops, size } = job.done.at(-1)!;
  return place.finish(async (folder) => {
    const file = exportName(job.name, one);
    const result = await exportModel(from, {
      to: format,
      type: type ?? undefined,
      zero,
      out: join(folder, exported, file),
      engine,
      onProgress: stage('exporting'),
    });
    const { notes } = result;
    return { stage: 'export', drops, size, loss: null, notes, exported: { ...result, out: join('exports', file) } };
  });
}
