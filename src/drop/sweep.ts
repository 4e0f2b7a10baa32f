import { UserError, checkOptions, flag, whole } from '../engine/index.js';
import type { LoadedModel } from '../models/index.js';
import type { SweepRows } from '../text/index.js';
import { candidates } from './candidates.js';
import { dropMethod } from './method.js';
import { checkCount, targets as allTargets } from './select.js';
import { SweepChooser } from './sweepChooser.js';
import { SweepMeasure } from './sweepMeasure.js';
import type { SweepOptions } from './sweepOptions.js';
import { SweepFindings, type SweepPoint, type SweepResult } from './sweepResult.js';

/**
 * The trade-off curve: for each target and count, what is lost and what is saved (as LLM-Drop's figures show it; their
 * quality is the score of tasks where ours is the loss). The skip flags are restored.
 */
export async function sweep(model: LoadedModel, rows: SweepRows, options: SweepOptions): Promise<SweepResult> {
  checkSweep(model, options);
  const now = model.drops;
  const findings = new SweepFindings(options.done ?? { steps: {}, points: [] }, options.onChange);
  const choice = new SweepChooser(model, rows.calibration, options, now, findings);
  using measure = new SweepMeasure(model, rows.heldOut, options, now);
  try {
    if (!findings.state.whole) await findings.add({ whole: await measure.whole() });
    const whole = findings.state.whole!;
    for (const target of options.targets)
      for (const count of [...new Set(options.counts)].sort((a, b) => a - b)) {
        if (findings.state.points.some((point) => point.target === target && point.count === count)) continue;
        const drops = await choice.choose(target, count);
        const point = await measure.point(target, count, drops, whole);
        await findings.add({ points: [...findings.state.points, point].sort(byTargetAndCount) });
      }
    return { ...findings.state, whole };
  } finally {
    model.setDrops(now);
  }
}

/** Fails before any work if a point could not be made. */
function checkSweep(model: LoadedModel, options: SweepOptions): void {
  checkOptions(options, { speed: flag, speedTokens: whole(1), speedRounds: whole(0) });
  const { targets, counts, ...method } = options;
  if (targets.length === 0 || counts.length === 0) throw new UserError('a sweep needs a target and a count');
  for (const target of targets)
    for (const count of counts) {
      const { keep } = dropMethod({ ...method, target, count });
      checkCount(count, target, candidates(model, target, keep).length, { least: 1 });
    }
}

const byTargetAndCount = (a: SweepPoint, b: SweepPoint): number =>
  allTargets.indexOf(a.target) - allTargets.indexOf(b.target) || a.count - b.count;
