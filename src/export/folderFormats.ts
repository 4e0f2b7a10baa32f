import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint, writeFolderAtomically } from '../checkpoint/index.js';
import { writeDropped } from '../drop/index.js';
import { Model, describeSource, isLlamaLike } from '../models/index.js';
import type { ExportJob, ReadBack, Written } from './exportJob.js';
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
      const result = await provedResult(job, written, await reread(job, folder, written));
      await writeText(join(folder, 'README.md'), await modelCard(job.model, cardFacts(result, written), evidence));
      const files = (await readdir(folder)).sort();
      return { ...result, files, bytes: await sizeOfAll(files.map((name) => join(folder, name))) };
    },
    { overwrite },
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

/** The model of a folder that was written. */
async function reread({ engine, model }: ExportJob, folder: string, { architecture }: Written): Promise<ReadBack> {
  const source = await openCheckpoint(folder);
  const description =
    architecture === nemotronArchitecture
      ? describeNemotron(source.config, model.config, join(folder, 'config.json'))
      : describeSource(source);
  return { model: new Model(engine, description, source), [Symbol.asyncDispose]: () => source.close() };
}

async function sizeOfAll(paths: readonly string[]): Promise<number> {
  return (await Promise.all(paths.map((path) => stat(path)))).reduce((sum, { size }) => sum + size, 0);
}
