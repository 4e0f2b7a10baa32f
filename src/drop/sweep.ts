import { UserError } from '../engine/index.js';
import { ReferenceOutputs, compareDecodeSpeeds, pairedDifference, type ComparedLoss } from '../evaluate/index.js';
import { modelSize, type Drops, type LoadedModel, type ModelSize } from '../models/index.js';
import type { Progress } from '../progress/index.js';
import type { SweepRows } from '../text/index.js';
import type { GreedyStep } from './greedy.js';
import { searchGreedily } from './greedy.js';
import type { Importance } from './importance.js';
import { chooseByScores, dropMethod, needsText, objectiveOf, scoresWithoutText, type MethodRequest } from './method.js';
import { metrics } from './metric.js';
import { scoreImportance } from './scoreImportance.js';
import { targets as allTargets, type Target } from './select.js';

/** How a sweep chooses: as `drop` does, of which it is all but the target and the count. */
export type SweepMethod = Pick<MethodRequest, 'metric' | 'search' | 'seed' | 'keep'>;

export interface SweepOptions extends SweepMethod {
  readonly targets: readonly Target[];
  /** Modules, or blocks, of each target. */
  readonly counts: readonly number[];
  /** Measure decoding speed. @defaultValue true */
  readonly speed?: boolean;
  /** Tokens decoded in a run, and runs of either model for each point. @defaultValue 16 and 5 */
  readonly speedTokens?: number;
  readonly speedRounds?: number;
  /** What an earlier run of the same sweep has found: taken as done. */
  readonly done?: SweepState;
  /** Called whenever something is found, to save it. */
  readonly onChange?: (state: SweepState) => void | Promise<void>;
  /** Told what is being done, and how far it is. */
  readonly stage?: (name: string) => Progress;
  readonly signal?: AbortSignal;
}

/** Loss in nats a token, and how near the outputs are to the whole model's. */
export interface Quality {
  readonly loss: number;
  readonly perplexity: number;
  /** Mean KL divergence from the whole model, in nats. */
  readonly divergence: number;
  /** Share of positions at which the likeliest token is the whole model's. */
  readonly agreement: number;
}

export interface TextQuality extends Quality {
  readonly name: string;
  readonly rows: number;
}

/** One model of a curve: over all texts, and on each. */
export interface MeasuredModel extends Quality, ModelSize {
  readonly drops: Drops;
  readonly texts: readonly TextQuality[];
  /** Of greedy decoding with a key-value cache; null where it was not measured. */
  readonly tokensPerSecond: number | null;
}

export interface SweepPoint extends MeasuredModel {
  readonly target: Target;
  readonly count: number;
  /** Loss less the whole model's, paired over the rows, and its standard error; null with a single row. */
  readonly difference: number;
  readonly standardError: number | null;
  /** Speed over the whole model's, both measured in turns for this point; null where it was not measured. */
  readonly speedup: number | null;
}

/** All that a sweep has found so far: enough to go on from. */
export interface SweepState {
  readonly whole?: MeasuredModel & { readonly rowLosses: readonly number[] };
  /** Of a choice by scores: one scoring serves all points. */
  readonly importance?: Importance;
  /** Of greedy searches: one for each target, whose prefixes are the choices of all counts. */
  readonly steps: Readonly<Partial<Record<Target, readonly GreedyStep[]>>>;
  /** By target and count. */
  readonly points: readonly SweepPoint[];
}

/** A sweep at its end. */
export type SweepResult = SweepState & { readonly whole: NonNullable<SweepState['whole']> };

/**
 * The trade-off curve: for each target and count, what is lost and what is saved (as LLM-Drop's figures show it; their
 * quality is the score of tasks where ours is the loss). The skip flags are restored.
 */
export async function sweep(model: LoadedModel, rows: SweepRows, options: SweepOptions): Promise<SweepResult> {
  const now = model.drops;
  checkSweep(model, options);
  using sweeper = new Sweeper(model, rows, options, now);
  try {
    return await sweeper.run();
  } finally {
    model.setDrops(now);
  }
}

/** Fails before the work where a point could not be made. */
function checkSweep(model: LoadedModel, { targets, counts, ...method }: SweepOptions): void {
  if (targets.length === 0 || counts.length === 0) throw new UserError('a sweep needs a target and a count');
  for (const target of targets)
    for (const count of counts) {
      const { keep } = dropMethod({ ...method, target, count });
      const available = candidates(model, target, keep);
      if (!Number.isInteger(count) || count < 1 || count > available)
        throw new UserError(`cannot drop ${count} of target '${target}': ${available} can be dropped`);
    }
}

function candidates({ layers }: LoadedModel, target: Target, keep: readonly number[]): number {
  const open = layers.filter(({ index }) => !keep.includes(index));
  const [attention, mlp] = (['attention', 'mlp'] as const).map((kind) => open.filter((l) => !l.skips(kind)).length);
  if (target === 'block') return open.filter((l) => !l.skipAttention || !l.skipMlp).length;
  return target === 'attention' ? attention : target === 'mlp' ? mlp : attention + mlp;
}

class Sweeper implements Disposable {
  #state: SweepState;
  #reference: ReferenceOutputs | undefined;
  readonly #rows: readonly Int32Array[];

  constructor(
    private readonly model: LoadedModel,
    private readonly rows: SweepRows,
    private readonly options: SweepOptions,
    private readonly earlier: Drops,
  ) {
    this.#state = options.done ?? { steps: {}, points: [] };
    this.#rows = rows.heldOut.flatMap((text) => text.rows);
  }

  async run(): Promise<SweepResult> {
    const { targets, counts } = this.options;
    const whole = this.#state.whole ?? (await this.#measureWhole());
    for (const target of targets)
      for (const count of [...new Set(counts)].sort((a, b) => a - b)) {
        if (this.#state.points.some((point) => point.target === target && point.count === count)) continue;
        const drops = await this.#choose(target, count);
        const point = await this.#measurePoint(target, count, drops, whole);
        await this.#change({ points: [...this.#state.points, point].sort(byTargetAndCount) });
      }
    return { ...this.#state, whole };
  }

  async #change(change: Partial<SweepState>): Promise<void> {
    this.#state = { ...this.#state, ...change };
    await this.options.onChange?.(this.#state);
  }

  #progress(name: string): { onProgress?: Progress; signal?: AbortSignal } {
    return { onProgress: this.options.stage?.(name), signal: this.options.signal };
  }

  // Choosing

  async #choose(target: Target, count: number): Promise<Drops> {
    const { search = 'score', metric, seed, keep } = this.options;
    const method = dropMethod({ target, count, search, metric, seed, keep });
    this.model.setDrops(this.earlier);
    if (search === 'score') return chooseByScores(await this.#scores(), method, this.earlier).drops;
    const { drops } = await searchGreedily(this.model, this.rows.calibration, {
      ...method,
      ...this.#progress(`searching ${target}`),
      objective: objectiveOf(search),
      done: this.#state.steps[target],
      onStep: (step) =>
        this.#change({ steps: { ...this.#state.steps, [target]: [...(this.#state.steps[target] ?? []), step] } }),
    });
    return drops;
  }

  async #scores(): Promise<Importance> {
    if (this.#state.importance) return this.#state.importance;
    const { metric = 'cosine' } = this.options;
    if (!needsText({ metric, search: 'score' })) {
      const scores = await scoresWithoutText(this.model, metric);
      if (metric !== 'random') await this.#change({ importance: scores });
      return scores;
    }
    const importance = await scoreImportance(this.model, this.rows.calibration, {
      ...this.#progress('scoring'),
      metric: metrics.find(({ name }) => name === metric),
    });
    await this.#change({ importance });
    return importance;
  }

  // Measuring

  /** The whole model's outputs, kept to hold every point against. */
  async #wholeOutputs(): Promise<ReferenceOutputs> {
    this.model.setDrops(this.earlier);
    return (this.#reference ??= await ReferenceOutputs.of(this.model, this.#rows, this.#progress('whole model')));
  }

  async #measureWhole(): Promise<SweepResult['whole']> {
    const reference = await this.#wholeOutputs();
    const quality = await reference.compare(this.#progress('whole model'));
    const [tokensPerSecond] = await this.#speeds([this.earlier]);
    const whole = { ...this.#measured(quality, this.earlier, tokensPerSecond), rowLosses: quality.rowLosses };
    await this.#change({ whole });
    return whole;
  }

  async #measurePoint(target: Target, count: number, drops: Drops, whole: SweepResult['whole']): Promise<SweepPoint> {
    const reference = await this.#wholeOutputs();
    this.model.setDrops(drops);
    const quality = await reference.compare(this.#progress(`measuring ${target} ${count}`));
    const [wholeSpeed, speed] = await this.#speeds([this.earlier, drops]);
    const { difference, standardError } = pairedDifference({ ...whole, tokens: 0 }, quality);
    return {
      target,
      count,
      ...this.#measured(quality, drops, speed),
      difference,
      standardError,
      speedup: speed !== null && wholeSpeed ? speed / wholeSpeed : null,
    };
  }

  #measured(quality: ComparedLoss, drops: Drops, tokensPerSecond: number | null): MeasuredModel {
    const { checkpoint, config, specs } = this.model;
    const { loss, perplexity, divergence, agreement } = quality;
    return {
      drops,
      loss,
      perplexity,
      divergence,
      agreement,
      texts: this.#byText(quality),
      ...modelSize(checkpoint, config, specs, drops),
      tokensPerSecond,
    };
  }

  #byText({ rowLosses, rowDivergences, rowAgreements }: ComparedLoss): TextQuality[] {
    let start = 0;
    return this.rows.heldOut.map(({ name, rows }) => {
      const at = start;
      start += rows.length;
      const mean = (values: readonly number[], weight: (row: Int32Array) => number): number => {
        const weights = rows.map(weight);
        const sum = weights.reduce((total, one, i) => total + one * values[at + i], 0);
        return sum / weights.reduce((a, b) => a + b, 0);
      };
      const loss = mean(rowLosses, ({ length }) => length - 1);
      return {
        name,
        rows: rows.length,
        loss,
        perplexity: Math.exp(loss),
        divergence: mean(rowDivergences, ({ length }) => length),
        agreement: mean(rowAgreements, ({ length }) => length),
      };
    });
  }

  async #speeds(drops: readonly Drops[]): Promise<(number | null)[]> {
    const { speed = true, speedTokens = 16, speedRounds, signal } = this.options;
    if (!speed) return drops.map(() => null);
    const context = this.model.config.maxPositionEmbeddings;
    const prompt = this.#rows[0].slice(0, Math.min(promptTokens, Math.ceil(context / 2)));
    const rates = await compareDecodeSpeeds(this.model, drops, prompt, {
      tokens: speedTokens,
      rounds: speedRounds,
      signal,
    });
    return rates.map((rate) => rate || null);
  }

  [Symbol.dispose](): void {
    this.#reference?.dispose();
  }
}

/** Before the tokens that are timed. */
const promptTokens = 16;

const byTargetAndCount = (a: SweepPoint, b: SweepPoint): number =>
  allTargets.indexOf(a.target) - allTargets.indexOf(b.target) || a.count - b.count;
