import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint, writeFolderAtomically } from '../checkpoint/index.js';
import { writeDropped } from '../drop/index.js';
import { Model, isLlamaLike, openModel, type OpenedModel } from '../models/index.js';
import type { ExportJob, Written } from './exportJob.js';
import { hasSubLayerDrops, zeroedPlan } from './exportPlan.js';
import { writeText } from './huggingFaceFolder.js';
import { findEvidence, modelCard } from './modelCard.js';
import { nemotronArchitecture, writeNemotron } from './nemotronFormat.js';
import { describeNemotron } from './nemotronNas.js';
import { writePlain } from './plainFormat.js';
import { cardFacts, provedResult, type ExportResult } from './provedResult.js';

/** Everything in one folder, which appears when it is proved. */
export async function exportFolder(job: ExportJob): Promise<ExportResult> {
  const { out, overwrite } = job.options;
  const evidence = await findEvidence(job.model, job.options);
  return writeFolderAtomically(
    out,
    async (folder) => {
      const written = await writerOf(job)(job, folder);
      await using opened = await reread(job, folder, written);
      const result = await provedResult(job, written, new Model(job.engine, opened.description, opened.source));
      await writeText(join(folder, 'README.md'), await modelCard(job.model, cardFacts(result, written), evidence));
      const files = (await readdir(folder)).sort();
      return { ...result, files, bytes: await sizeOfAll(files.map((name) => join(folder, name))) };
    },
    { overwrite, reads: [job.model.source.folder] },
  );
}

function writerOf({ options: { to, zero }, model, drops }: ExportJob): typeof writePlain {
  if (to === 'llm-drop') return writeLlmDrop;
  const leavesOut = to === 'vllm' && !zero && hasSubLayerDrops(drops) && isLlamaLike(model.description);
  return leavesOut ? writeNemotron : writePlain;
}

async function writeLlmDrop({ model, drops, options }: ExportJob, folder: string): Promise<Written> {
  await writeDropped(model, drops, folder, { onProgress: options.onProgress });
  const plan = zeroedPlan(model.config, { attention: [], mlp: [] });
  return { architecture: model.config.modelType, plan, exact: true, packed: true, notes: [] };
}

/** A folder that was written, as whoever reads it opens it. */
async function reread(
  { model }: ExportJob,
  folder: string,
  { architecture }: Written,
): Promise<Pick<OpenedModel, 'description' | 'source'> & AsyncDisposable> {
  if (architecture !== nemotronArchitecture) return openModel(folder);
  const source = await openCheckpoint(folder);
  const description = describeNemotron(source.config, model.config, join(folder, 'config.json'));
  return { source, description, [Symbol.asyncDispose]: () => source.close() };
}

async function sizeOfAll(paths: readonly string[]): Promise<number> {
  return (await Promise.all(paths.map((path) => stat(path)))).reduce((sum, { size }) => sum + size, 0);
}
