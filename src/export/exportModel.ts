import { checkOutputs } from '../checkpoint/index.js';
import { createEngine, type Engine } from '../engine/index.js';
import { openModel, type Drops, type OpenedModel } from '../models/index.js';
import { ExportJob } from './exportJob.js';
import { blocksFor, checkExport, exportOutputs, type ExportOptions } from './exportOptions.js';
import { exportFolder } from './folderFormats.js';
import { exportGguf } from './ggufExport.js';
import type { ExportResult } from './provedResult.js';

/** A model to export: its folder, or one that is open, or one that is loaded, without what it skips now. */
export type ExportSource = string | OpenedModel | (OpenedModel & { readonly drops: Drops; readonly engine: Engine });

/**
 * Writes a model for another engine (docs/formats.md, 'Which export runs where'). The result is read back from the
 * disk, compared with the model that it was made from over a few tokens, and only then appears under its name, with a
 * model card.
 */
export async function exportModel(model: ExportSource, options: ExportOptions): Promise<ExportResult> {
  if (typeof model === 'string') {
    await using opened = await openModel(model, { blocks: blocksFor(options) });
    return await exportModel(opened, options);
  }
  checkExport(options);
  await checkOutputs({ reads: [model.source.folder], writes: exportOutputs(options) });
  const live = 'drops' in model ? model : undefined;
  const engine = options.engine ?? live?.engine ?? (await createEngine(options.backend, { threads: options.threads }));
  try {
    const job = new ExportJob(model, engine, options, live?.drops);
    return await (options.to === 'gguf' ? exportGguf(job) : exportFolder(job));
  } finally {
    if (!options.engine && !live) engine.dispose();
  }
}
