import { join } from 'node:path';
import { compensateStage } from './compensateStage.js';
import { dropStage } from './dropStage.js';
import { exported, exportStage } from './exportStage.js';
import { quantizeStage } from './quantizeStage.js';
import type { Recipe } from './recipe.js';
import type { Job, StageName, StagePlace, StageState, Surroundings } from './stage.js';
import { measureWhole } from './wholeStage.js';

/** The stages one after the other, each from the folder that the one before has left. */
export class Pipeline {
  readonly models: StageState[] = [];
  readonly exports: StageState[] = [];
  /** The folders of the finished exports. */
  readonly #exported: string[] = [];
  #from: string;
  /** The last stage that an interrupted run had finished, until a note has said so. */
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

  /** What is copied, and where to, in the folder to be written. */
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
    if (this.#behind) this.around.onNote?.(`continuing behind ${this.#behind}`);
    this.#behind = undefined;
    return work({ ...this.around, from: this.#from, done: this.models, place });
  }
}
