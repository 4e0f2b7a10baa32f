import type { Drops, ModuleKind } from '../models/index.js';

/** Which output projections are refit: those right before a drop, or all from there on. */
export const compensationModes = ['neighbour', 'all'] as const;
export type CompensationMode = (typeof compensationModes)[number];

/** A module of the residual stream: the attention or the MLP of an original layer. */
export interface ModuleAt {
  readonly layer: number;
  readonly kind: ModuleKind;
}

/**
 * A module that stays, and the dropped ones after it, up to the next that stays. Between these two the dropped model
 * does nothing, so the first should leave what the last of them left in the whole model.
 */
export interface Stretch {
  /** Undefined if the model begins with dropped modules: nothing comes before them to make up for them. */
  readonly stays?: ModuleAt;
  readonly dropped: readonly ModuleAt[];
  /** Whether the output projection of what stays is refit. */
  readonly refit: boolean;
}

export interface CompensationPlan {
  /** In running order, up to the last that is refit. */
  readonly stretches: readonly Stretch[];
  /** Dropped modules that no refit projection comes right before, so that nothing of them is given back. */
  readonly leftAlone: readonly ModuleAt[];
}

/** What the plan knows of a model. */
export interface PlannedModel {
  readonly layers: number;
  /** Modules that were dropped before: they do not belong to the whole model. */
  readonly missing: Drops;
  /** Whether a module has one output projection that writes to the stream. */
  canRefit(module: ModuleAt): boolean;
}

export function compensationPlan(model: PlannedModel, drops: Drops, mode: CompensationMode): CompensationPlan {
  const stretches: Stretch[] = [];
  let begun = false;
  for (const { stays, dropped } of stretchesOf(model, drops)) {
    begun ||= dropped.length > 0;
    const wanted = mode === 'all' ? begun : dropped.length > 0;
    const refit = wanted && stays !== undefined && model.canRefit(stays);
    stretches.push({ stays, dropped, refit });
  }
  const last = stretches.reduce((end, { refit }, i) => (refit ? i + 1 : end), 0);
  return {
    stretches: stretches.slice(0, last),
    leftAlone: stretches.flatMap(({ refit, dropped }) => (refit ? [] : dropped)),
  };
}

function stretchesOf({ layers, missing }: PlannedModel, drops: Drops): { stays?: ModuleAt; dropped: ModuleAt[] }[] {
  const stretches: { stays?: ModuleAt; dropped: ModuleAt[] }[] = [];
  for (let layer = 0; layer < layers; layer++)
    for (const kind of ['attention', 'mlp'] as const) {
      if (missing[kind].includes(layer)) continue;
      if (!drops[kind].includes(layer)) stretches.push({ stays: { layer, kind }, dropped: [] });
      else if (stretches.length) stretches[stretches.length - 1].dropped.push({ layer, kind });
      else stretches.push({ dropped: [{ layer, kind }] });
    }
  return stretches;
}
