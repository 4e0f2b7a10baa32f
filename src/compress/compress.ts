import { constants } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fingerprintOf, type Progress } from '../progress/index.js';
import { loadTokenizer, writeFolderAtomically } from '../checkpoint/index.js';
import { splitRows, type SplitRows } from '../text/index.js';
import { createEngine, type BackendName, type EngineOptions } from '../engine/index.js';
import { Model, defaultMaxMemory, openModel } from '../models/index.js';
import { compensateStage } from './compensateStage.js';
import { compressReport, type CompressReport } from './compressReport.js';
import { dropStage } from './dropStage.js';
import { exported, exportStage } from './exportStage.js';
import { checkInputs, inputsOf, versionNotes, versionsOf } from './inputs.js';
import { checkShapes, quantizeStage } from './quantizeStage.js';
import type { Recipe } from './recipe.js';
import { StagePlace, type Job, type StageName, type StageState, type Surroundings } from './stage.js';
import { measureWhole } from './wholeStage.js';

export interface CompressOptions extends EngineOptions {
  /** The folder to write: the model where a stage changes it, `recipe.json`, `compress_report.json`, and `exports`. */
  readonly out: string;
  /** Replace a model folder that is already there. */
  readonly overwrite?: boolean;
  readonly backend?: BackendName;
  /** Bytes that the process may take: scoring streams a larger model, and no loss of it is measured. */
  readonly maxMemory?: number;
  /** Told what is being done, and how far it is. */
  readonly stage?: (label: string) => Progress;
  /** Told what is worth knowing meanwhile: that a run is continued, say. */
  readonly note?: (text: string) => void;
  readonly signal?: AbortSignal;
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
  using engine = await createEngine(o.backend, o);
  await using source = await openModel(folder);
  using model = new Model(engine, source.description, source.source);
  if (recipe.quantize) checkShapes(source, model, recipe.quantize);
  const inputs = await inputsOf(folder, model, recipe);
  checkInputs(recipe, inputs);
  const versions = await versionsOf(model);
  const note = o.note ?? (() => undefined);
  versionNotes(recipe, versions).forEach(note);
  const stage = o.stage ?? (() => () => undefined);
  const rows = await rowsOf(folder, model, recipe, stage('tokenizing'));
  rows?.notes.forEach(note);
  const { out, maxMemory = defaultMaxMemory(), signal } = o;
  const files = recipe.calibration?.files ?? [];
  const memory = { bytes: maxMemory, rowLength: rows?.length ?? 1 };
  const { name } = inputs.model;
  const around = { engine, base: folder, name, rows, files, versions, memory, stage, note, signal };
  const all = { model, rows: { calibration: rows?.calibration ?? [], heldOut: rows?.heldOut ?? [] } };
  const fingerprint = await fingerprintOf({ ...all, settings: { name, files }, version: versions['llm-drop'] });
  const work = `${resolve(out)}.compress`;
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
  folder: string,
  { config }: Model,
  { calibration }: Recipe,
  progress: Progress,
): Promise<SplitRows | undefined> {
  if (!calibration) return undefined;
  const maxLength = config.maxPositionEmbeddings;
  const tokenizer = await loadTokenizer(folder);
  const needed = (calibration.samples + calibration.heldOut) * Math.min(calibration.length, maxLength);
  let tokens = 0;
  const watched: Pick<typeof tokenizer, 'encode' | 'eosId'> = {
    eosId: tokenizer.eosId,
    encode: (document, options) => {
      const ids = tokenizer.encode(document, options);
      progress(Math.min((tokens += ids.length), needed), needed, 'tokens');
      return ids;
    },
  };
  return splitRows(watched, calibration.files, { ...calibration, maxLength });
}

/** The stages one after the other, each from the folder that the one before has left. */
class Pipeline {
  readonly models: StageState[] = [];
  readonly exports: StageState[] = [];
  /** Of every finished export, the folder that holds it. */
  readonly #exported: string[] = [];
  #from: string;
  /** The last stage that an interrupted run has finished, until that is told. */
  #behind: string | undefined;

  constructor(
    private readonly around: Surroundings,
    private place: StagePlace,
  ) {
    this.#from = around.base;
  }

  async run({ drop, compensate, quantize, export: wanted }: Recipe): Promise<void> {
    this.place = this.place.next('whole', {});
    this.models.push(await this.#stage(this.place, measureWhole));
    if (drop) await this.#model('drop', drop, (job) => dropStage(job, drop));
    if (compensate) await this.#model('compensate', compensate, (job) => compensateStage(job, compensate));
    if (quantize) await this.#model('quantize', quantize, (job) => quantizeStage(job, quantize));
    for (const one of wanted) {
      const place = this.place.next('export', one);
      this.exports.push(await this.#stage(place, (job) => exportStage(job, one)));
      this.#exported.push(place.folder);
    }
  }

  /** What goes where in the folder to be written. */
  results(target: string): [from: string, to: string][] {
    const changed = this.#from !== this.around.base;
    const exports = this.#exported.map((folder): [string, string] => [join(folder, exported), join(target, 'exports')]);
    return [...(changed ? [[this.#from, target] as [string, string]] : []), ...exports];
  }

  async #model(name: StageName, settings: unknown, work: (job: Job) => Promise<StageState>): Promise<void> {
    this.place = this.place.next(name, settings);
    this.models.push(await this.#stage(this.place, work));
    this.#from = join(this.place.folder, this.around.name);
  }

  async #stage(place: StagePlace, work: (job: Job) => Promise<StageState>): Promise<StageState> {
    const found = await place.finished();
    if (found) {
      if (place.stage !== 'whole') this.#behind = place.stage;
      return found;
    }
    if (this.#behind) this.around.note(`continuing behind ${this.#behind}`);
    this.#behind = undefined;
    return work({ ...this.around, from: this.#from, done: this.models, place });
  }
}
