import type { Engine, WeightDType } from '../engine/index.js';
import { mergeDrops } from '../drop/index.js';
import { recordedDrops, type Drops, type OpenedModel } from '../models/index.js';
import type { ExportPlan } from './exportPlan.js';
import { floatTypes, type ExportOptions } from './exportOptions.js';
import { PlannedWeights } from './plannedWeights.js';

/** What the writer of a format says of its result. */
export interface Written {
  /** Name of the architecture in the program that reads the result. */
  readonly architecture: string;
  readonly plan: ExportPlan;
  /** Whether every weight is stored as it was, or wider. */
  readonly exact: boolean;
  /** Whether the checkpoint's integers are still stored as integers. */
  readonly packed?: boolean;
  readonly remoteCode?: boolean;
  readonly notes: readonly string[];
}

/** One export: the model, what is dropped of it, and what is asked for. */
export class ExportJob {
  readonly drops: Drops;
  /** Asked for, of a folder's matrices. */
  readonly dtype: WeightDType | undefined;

  constructor(
    readonly model: OpenedModel,
    readonly engine: Engine,
    readonly options: ExportOptions,
    /** What a loaded model skips now. */
    skipped: Drops = { attention: [], mlp: [] },
  ) {
    const asked = { attention: options.drops?.attention ?? [], mlp: options.drops?.mlp ?? [] };
    this.drops = [skipped, asked].reduce(mergeDrops, recordedDrops(model.config));
    this.dtype = options.type && floatTypes[options.type];
  }

  weights(plan: ExportPlan): PlannedWeights {
    return new PlannedWeights(this.model.source, this.model.description, plan);
  }

  /** Whether `dtype` holds every weight of a plan without rounding. */
  isExact(plan: ExportPlan): boolean {
    const { dtype } = this;
    return (
      dtype === undefined ||
      this.weights(plan)
        .all()
        .every(({ source }) => holdsExactly(dtype, source.dtype))
    );
  }

  /** Where a model attends to a window: engines that do not know it are exact up to its length. */
  windowNotes(): string[] {
    const { slidingWindow, maxPositionEmbeddings } = this.model.config;
    if (slidingWindow === undefined || slidingWindow >= maxPositionEmbeddings) return [];
    return [
      `the engine does not apply the model's sliding window, so the context is limited to its ${slidingWindow} tokens`,
    ];
  }
}

export const holdsExactly = (stored: WeightDType | undefined, given: WeightDType): boolean =>
  stored === 'float32' || stored === given;
