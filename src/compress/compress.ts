import { constants } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fingerprintOf } from '../progress/index.js';
import { claimOutputs, writeFolderAtomically, type ModelSource } from '../checkpoint/index.js';
import { splitRows, type SplitRows } from '../text/index.js';
import { checkJob, checkShapes, engineFor, rowsOfText, versionsOf } from '../jobs/chain.js';
import type { ComputeOptions, JobOptions } from '../jobs/index.js';
import { Model, defaultMaxMemory, openModel } from '../models/index.js';
import { compressReport, type CompressReport } from './compressReport.js';
import { checkInputs, inputsOf, versionNotes } from './inputs.js';
import { Pipeline } from './pipeline.js';
import type { Recipe } from './recipe.js';
import { StagePlace } from './stage.js';

export interface CompressOptions extends JobOptions, ComputeOptions {
  /** The folder to write: the model where a stage changes it, `recipe.json`, `compress_report.json`, and `exports`. */
  readonly out: string;
  /** Replace a model folder that is already there, and holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
  /** Where the recipe was read from: nothing is written over it. */
  readonly recipeFile?: string;
  /** Bytes that the process may take: scoring streams a larger model, and no loss of it is measured. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
}

export interface CompressResult extends CompressReport {
  readonly out: string;
  /** Complete: with it and the same inputs, another run writes the same, bit for bit but for dates. */
  readonly recipe: Recipe;
}

export const recipeFile = 'recipe.json';
export const compressReportFile = 'compress_report.json';

/**
 * Drops, compensates, quantizes and exports a model folder as a recipe (`parseRecipe`) says. What is finished waits in
 * `OUT.compress`, from which an interrupted run goes on; it is removed when the result has appeared, whole.
 */
export async function compress(folder: string, recipe: Recipe, o: CompressOptions): Promise<CompressResult> {
  checkJob(o);
  const files = recipe.calibration?.files ?? [];
  const work = `${resolve(o.out)}.compress`;
  await using _claim = await claimOutputs({
    reads: [folder, o.recipeFile, ...files],
    writes: [{ path: o.out, kind: 'folder', overwrite: o.overwrite ?? false, beside: [work] }],
  });
  using computing = await engineFor(o);
  const { engine } = computing;
  await using source = await openModel(folder);
  source.notes.forEach((note) => o.onNote?.(note));
  using model = new Model(engine, source.description, source.source);
  if (recipe.quantize) checkShapes(source, model, recipe.quantize, 'leave quantize.head out of the recipe');
  const inputs = await inputsOf(folder, model, recipe);
  checkInputs(recipe, inputs);
  const versions = versionsOf(engine);
  const { out, maxMemory = defaultMaxMemory(), onProgress, onNote, signal } = o;
  for (const note of versionNotes(recipe, versions)) onNote?.(note);
  const rows = await rowsOf(source.source, model, recipe, o);
  for (const note of rows?.notes ?? []) onNote?.(note);
  const memory = { bytes: maxMemory, rowLength: rows?.length ?? 1 };
  const { name } = inputs.model;
  const around = { engine, base: folder, name, rows, files, versions, memory, onProgress, onNote, signal };
  const all = { model, rows: { calibration: rows?.calibration ?? [], heldOut: rows?.heldOut ?? [] } };
  const fingerprint = await fingerprintOf({ ...all, settings: { name, files }, version: versions['llm-drop'] });
  const pipeline = new Pipeline(around, new StagePlace(work, JSON.stringify(fingerprint), 'inputs'));
  await pipeline.run(recipe);

  const made: Recipe = { ...recipe, inputs, versions };
  const report = compressReport(name, versions, pipeline.models, pipeline.exports, rows?.notes ?? []);
  await writeFolderAtomically(
    out,
    async (target) => {
      for (const [from, to] of pipeline.results(target)) await cp(from, to, copying);
      await writeFile(join(target, recipeFile), `${JSON.stringify(made, null, 2)}\n`);
      await writeFile(join(target, compressReportFile), `${JSON.stringify(report, null, 2)}\n`);
    },
    { overwrite: o.overwrite },
  );
  await rm(work, { recursive: true, force: true });
  return { ...report, out, recipe: made };
}

/** Where the file system can, the copy shares its blocks. */
const copying = { recursive: true, mode: constants.COPYFILE_FICLONE };

async function rowsOf(
  source: ModelSource,
  { config }: Model,
  { calibration }: Recipe,
  o: JobOptions,
): Promise<SplitRows | undefined> {
  if (!calibration) return undefined;
  return rowsOfText(await source.tokenizer(), config, { ...o, ...calibration }, (tokenizer, rows) =>
    splitRows(tokenizer, calibration.files, rows),
  );
}
