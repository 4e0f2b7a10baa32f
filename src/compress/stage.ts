import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Resumable, Resume, Versions } from '../jobs/chain.js';
import type { JobOptions } from '../jobs/index.js';
import { ProgressFile, readChecked, withChecksum, type Fingerprint } from '../progress/index.js';
import { fileError, writeFolderAtomically } from '../checkpoint/index.js';
import type { HeldOutText, SplitRows } from '../text/index.js';
import { UserError, type Engine } from '../engine/index.js';
import type { ExpertReport } from '../drop/index.js';
import type { LossResult } from '../evaluate/index.js';
import type { ExportResult } from '../export/index.js';
import {
  openModel,
  type Drops,
  type MemoryLimit,
  type ModelSize,
  type OpenModelOptions,
  type OpenedModel,
} from '../models/index.js';

/** What all stages work with. */
export interface Surroundings extends JobOptions {
  readonly engine: Engine;
  /** The whole model's folder, and what it is called. */
  readonly base: string;
  readonly name: string;
  /** Of an adapter that is merged into the whole model. */
  readonly adapter?: string;
  readonly rows: SplitRows | undefined;
  /** The calibration files, as they were named, and whether rows are from all over them. */
  readonly files: readonly string[];
  readonly spread?: boolean;
  readonly versions: Versions;
  readonly memory: MemoryLimit;
}

/** What one stage gets: the model folder to start from, and the states of the stages before. */
export interface Job extends Surroundings {
  readonly from: string;
  readonly done: readonly StageState[];
  readonly place: StagePlace;
}

export type StageName = 'whole' | 'drop' | 'compensate' | 'quantize' | 'export';

/** What is known of a finished stage. */
export interface StageState {
  readonly stage: StageName;
  readonly drops: Drops;
  readonly size: Pick<ModelSize, 'parameters' | 'bytes'>;
  /** Null where it was not measured. */
  readonly loss: LossResult | null;
  readonly notes: readonly string[];
  /** Where the stage dropped experts. */
  readonly experts?: ExpertReport;
  /** The result of an export stage. */
  readonly exported?: ExportResult;
}

const stateFile = 'stage.json';

/**
 * Where a stage's result is kept until all are done: a folder in the work folder, named by a digest of everything that
 * the result depends on. So an interrupted run goes on with what is there, and after a change of the recipe the stages
 * before the change are still found.
 */
export class StagePlace implements Resume {
  readonly #opened: ProgressFile<unknown>[] = [];

  constructor(
    private readonly work: string,
    private readonly key: string,
    readonly stage: StageName | 'inputs',
  ) {}

  /** The place of the stage after this one. */
  next(stage: StageName, settings: unknown): StagePlace {
    const key = createHash('sha256').update(`${this.key} ${stage} ${JSON.stringify(settings)}`);
    return new StagePlace(this.work, key.digest('hex'), stage);
  }

  get folder(): string {
    return join(this.work, `${this.stage}-${this.key.slice(0, 12)}`);
  }

  async finished(): Promise<StageState | undefined> {
    return readChecked(join(this.folder, stateFile), `to start the stage anew, remove ${this.folder}`);
  }

  /** How far the stage itself has come; the digest in its folder's name is of all its inputs. */
  async open<T>(kind: Resumable, _inputs: unknown, way: Fingerprint = {}): Promise<ProgressFile<T>> {
    const progress = await ProgressFile.open<T>(`${this.folder}.${kind}.progress`, { stage: this.key, ...way });
    this.#opened.push(progress);
    return progress;
  }

  /** `write` fills the folder, which appears whole; then the stage's own progress goes. */
  async finish<T extends StageState>(write: (folder: string) => Promise<T>): Promise<T> {
    const state = await writeFolderAtomically(this.folder, async (folder) => {
      const written = await write(folder);
      const path = join(folder, stateFile);
      await writeFile(path, JSON.stringify(withChecksum(written))).catch((error: unknown) => {
        throw fileError(error, 'cannot write', path);
      });
      return written;
    });
    for (const progress of this.#opened) await progress.remove();
    return state;
  }
}

/** The model that a stage starts from, or the whole one, into which alone an adapter is merged. */
export const openedFor = (
  { base, adapter }: Surroundings,
  folder: string,
  o: OpenModelOptions = {},
): Promise<OpenedModel & AsyncDisposable> => openModel(folder, folder === base ? { ...o, adapter } : o);

/** What losses are measured on. */
export const heldOutOf = ({ rows }: Surroundings): HeldOutText[] =>
  rows?.heldOut.length ? [{ name: 'held out', rows: rows.heldOut }] : [];

export function calibrationOf({ rows }: Surroundings): readonly Int32Array[] {
  if (!rows) throw new UserError('the stage looks at a text, which the recipe does not name');
  return rows.calibration;
}
