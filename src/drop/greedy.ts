import { setImmediate } from 'node:timers/promises';
import { UserError, createBatch, type Tensor } from '../engine/index.js';
import { checkedIndices, type Drops, type Model, type ModuleKind } from '../models/index.js';
import { KeptOutputs, type Progress } from '../calibrate/index.js';
import type { Constraints, Target } from './select.js';
import { mergeDrops } from './writeDropped.js';

/** What a search keeps small: the loss (SLEB; Song et al., 2024), or the divergence from the whole model's output. */
export type SearchObjective = 'loss' | 'kl';

export interface GreedyOptions extends Constraints {
  readonly target: Target;
  /** Modules in all. */
  readonly count: number;
  /** @defaultValue 'kl' */
  readonly objective?: SearchObjective;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
  /** Steps of an earlier, interrupted search over the same rows: taken as done. */
  readonly done?: readonly GreedyStep[];
  /** Called after each step, to save it. */
  readonly onStep?: (step: GreedyStep) => void | Promise<void>;
}

export interface GreedyStep {
  readonly dropped: Drops;
  /** Mean over all predictions, in nats, once this step's module is gone. */
  readonly objective: number;
}

/** A module, or both of a block, and the first layer whose input its absence changes. */
interface Candidate {
  readonly drops: Drops;
  readonly layer: number;
}

/**
 * Drops the module whose absence costs least, again and again. A candidate shares all layers before its own with the
 * model as it stands, so that a step over all candidates runs about half of the layers that separate passes would.
 * Returns the steps; the model is left with the drops skipped.
 */
export async function searchGreedily(
  model: Model,
  rows: readonly Int32Array[],
  options: GreedyOptions,
): Promise<{ drops: Drops; steps: GreedyStep[] }> {
  const { target, count, objective = 'kl', keep = [], onProgress, signal } = options;
  const kept = checkedIndices(keep, model.layers.length, '`keep`');
  const available = candidates(model, target, kept).length;
  if (!Number.isInteger(count) || count < 0 || count > available)
    throw new UserError(`cannot drop ${count} of target '${target}': ${available} can be dropped`);
  if (rows.length === 0 || rows.some(({ length }) => length < 2))
    throw new UserError('a search needs at least one row of two tokens');
  // The whole model's, which the search is to stay near.
  using references = objective === 'kl' ? await KeptOutputs.of(model, rows, { signal }) : undefined;
  const steps = [...(options.done ?? [])].slice(0, count);
  for (const { dropped } of steps) model.setDrops(mergeDrops(model.drops, dropped));
  while (steps.length < count) {
    const open = candidates(model, target, kept);
    const sums = new Float64Array(open.length);
    for (const [index, row] of rows.entries()) {
      const costs = await candidateCosts(model, row, open, references?.outputs[index], signal);
      costs.forEach((cost, i) => (sums[i] += cost));
      onProgress?.(steps.length * rows.length + index + 1, count * rows.length, 'rows');
    }
    const best = sums.reduce((least, sum, i) => (sum < sums[least] ? i : least), 0);
    const predictions = rows.reduce((sum, { length }) => sum + length - (objective === 'loss' ? 1 : 0), 0);
    const step = { dropped: open[best].drops, objective: sums[best] / predictions };
    model.setDrops(mergeDrops(model.drops, step.dropped));
    steps.push(step);
    await options.onStep?.(step);
  }
  return { drops: model.drops, steps };
}

function candidates(model: Model, target: Target, kept: readonly number[]): Candidate[] {
  const open = model.layers.filter(({ index }) => !kept.includes(index));
  const of = (kind: ModuleKind): Candidate[] =>
    open
      .filter((layer) => !layer.skips(kind))
      .map(({ index }) => ({ drops: { attention: [], mlp: [], [kind]: [index] }, layer: index }));
  if (target === 'block')
    return open
      .filter((l) => !l.skipAttention || !l.skipMlp)
      .map(({ index }) => ({ drops: { attention: [index], mlp: [index] }, layer: index }));
  return target === 'joint' ? [...of('attention'), ...of('mlp')] : of(target);
}

/** The objective's sum over one row's predictions, for each candidate. Nobody else sees a candidate's flags. */
const candidateCosts = (
  model: Model,
  row: Int32Array,
  open: readonly Candidate[],
  reference: Tensor | undefined,
  signal?: AbortSignal,
): Promise<number[]> =>
  model.engine.exclusive(async () => {
    const { engine } = model;
    const batch = createBatch([row]);
    const now = model.drops;
    const streams: Tensor[] = [];
    await model.forwardYielding(batch, {
      signal,
      observer: { stream: (layer, hidden) => void (streams[layer] = hidden.rows(0, hidden.shape[0])) },
    });
    const costs: number[] = [];
    try {
      for (const { drops, layer } of open) {
        signal?.throwIfAborted();
        using _candidate = engine.scope();
        model.setDrops(mergeDrops(now, drops));
        const hidden = model.forwardFrom(layer, streams[layer].rows(0, row.length), batch);
        const values = reference
          ? model.divergences(reference, hidden)
          : model.losses(hidden.rows(0, row.length - 1), row.slice(1));
        costs.push((await engine.readFloats(values)).reduce((sum, value) => sum + value, 0));
        await setImmediate(); // lets timers, signals and progress have their turn
      }
    } finally {
      model.setDrops(now);
    }
    return costs;
  });
