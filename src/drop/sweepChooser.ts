import type { Drops, LoadedModel } from '../models/index.js';
import { searchGreedily } from './greedy.js';
import type { Importance } from './importance.js';
import { chooseByScores, dropMethod, needsText, objectiveOf, scoresWithoutText } from './method.js';
import { metricNamed } from './metric.js';
import { scoreImportance } from './scoreImportance.js';
import type { Target } from './select.js';
import { walkOptions, type StageOptions, type SweepMethod } from './sweepOptions.js';
import type { SweepFindings } from './sweepResult.js';

/** Chooses what a sweep's points drop; what serves several points is found once. */
export class SweepChooser {
  constructor(
    private readonly model: LoadedModel,
    private readonly rows: readonly Int32Array[],
    private readonly options: SweepMethod & StageOptions,
    /** What is dropped before the sweep. */
    private readonly earlier: Drops,
    private readonly findings: SweepFindings,
  ) {}

  /** All that a point drops. The skip flags are changed. */
  async choose(target: Target, count: number): Promise<Drops> {
    const { search = 'score', metric, seed, keep } = this.options;
    const method = dropMethod({ target, count, search, metric, seed, keep });
    this.model.setDrops(this.earlier);
    if (search === 'score') return chooseByScores(await this.#scores(), method, this.earlier).drops;
    const steps = () => this.findings.state.steps;
    const { drops } = await searchGreedily(this.model, this.rows, {
      ...method,
      ...walkOptions(this.options, `searching ${target}`),
      objective: objectiveOf(search),
      done: steps()[target],
      onStep: (step) => this.findings.add({ steps: { ...steps(), [target]: [...(steps()[target] ?? []), step] } }),
    });
    return drops;
  }

  async #scores(): Promise<Importance> {
    const { findings, options, model } = this;
    if (findings.state.importance) return findings.state.importance;
    const { metric = 'cosine' } = options;
    if (!needsText({ metric, search: 'score' })) {
      const scores = await scoresWithoutText(model, metric);
      if (metric !== 'random') await findings.add({ importance: scores });
      return scores;
    }
    const importance = await scoreImportance(model, this.rows, {
      ...walkOptions(options, 'scoring'),
      metric: metricNamed(metric),
    });
    await findings.add({ importance });
    return importance;
  }
}
