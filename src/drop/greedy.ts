import { setImmediate } from 'node:timers/promises';
import { createBatch, type Tensor } from '../engine/index.js';
import { checkPredictable, rowDivergence, rowNats } from '../evaluate/index.js';
import { checkedIndices, type Drops, type Model } from '../models/index.js';
import type { Progress } from '../progress/index.js';
import { KeptOutputs } from '../walk/index.js';
import { candidates, type Candidate } from './candidates.js';
import { checkCount, type Constraints, type Target } from './select.js';
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
  checkCount(count, target, candidates(model, target, kept).length);
  checkPredictable(rows, 'a search');
  // The whole model's outputs, which the search is to stay near.
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

/**
 * The objective's sum over one row's predictions, for each candidate. One turn of the engine, so that no other pass
 * runs under a candidate's skip flags.
 */
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
        costs.push(await (reference ? rowDivergence(model, reference, hidden, row) : rowNats(model, hidden, row)));
        await setImmediate(); // lets timers, signals and progress have their turn
      }
    } finally {
      model.setDrops(now);
    }
    return costs;
  });
