import { ReferenceOutputs, compareDecodeSpeeds, pairedDifference, type ComparedLoss } from '../evaluate/index.js';
import { modelSize, type Drops, type LoadedModel } from '../models/index.js';
import type { HeldOutText } from '../text/index.js';
import type { Target } from './select.js';
import { walkOptions, type SpeedOptions, type StageOptions } from './sweepOptions.js';
import type { MeasuredModel, SweepPoint, TextQuality, WholeModel } from './sweepResult.js';

/** Before the tokens that are timed. */
const promptTokens = 16;

/** Measures a sweep's points, and the whole model that they are held against, whose outputs it keeps. */
export class SweepMeasure implements Disposable {
  #reference: ReferenceOutputs | undefined;
  readonly #rows: readonly Int32Array[];

  constructor(
    private readonly model: LoadedModel,
    private readonly texts: readonly HeldOutText[],
    private readonly options: SpeedOptions & StageOptions,
    /** What is dropped before the sweep. */
    private readonly earlier: Drops,
  ) {
    this.#rows = texts.flatMap(({ rows }) => rows);
  }

  /** The model without a point's drops. The skip flags are changed. */
  async whole(): Promise<WholeModel> {
    const reference = await this.#wholeOutputs();
    const quality = await reference.compare(walkOptions(this.options, 'whole model'));
    const [tokensPerSecond] = await this.#speeds([this.earlier]);
    return { ...this.#measured(quality, this.earlier, tokensPerSecond), rowLosses: quality.rowLosses };
  }

  /** The model with a point's drops, which stay skipped. */
  async point(target: Target, count: number, drops: Drops, whole: WholeModel): Promise<SweepPoint> {
    const reference = await this.#wholeOutputs();
    this.model.setDrops(drops);
    const quality = await reference.compare(walkOptions(this.options, `measuring ${target} ${count}`));
    const [wholeSpeed, speed] = await this.#speeds([this.earlier, drops]);
    const { difference, standardError } = pairedDifference(whole, quality);
    return {
      target,
      count,
      ...this.#measured(quality, drops, speed),
      difference,
      standardError,
      speedup: speed !== null && wholeSpeed ? speed / wholeSpeed : null,
    };
  }

  async #wholeOutputs(): Promise<ReferenceOutputs> {
    this.model.setDrops(this.earlier);
    return (this.#reference ??= await ReferenceOutputs.of(
      this.model,
      this.#rows,
      walkOptions(this.options, 'whole model'),
    ));
  }

  #measured(quality: ComparedLoss, drops: Drops, tokensPerSecond: number | null): MeasuredModel {
    const { source, description } = this.model;
    const { loss, perplexity, divergence, agreement } = quality;
    return {
      drops,
      loss,
      perplexity,
      divergence,
      agreement,
      texts: byText(this.texts, quality),
      ...modelSize(source, description, drops),
      tokensPerSecond,
    };
  }

  async #speeds(drops: readonly Drops[]): Promise<(number | null)[]> {
    const { speed = true, speedTokens = 16, speedRounds, signal } = this.options;
    if (!speed || speedRounds === 0) return drops.map(() => null);
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

/** A comparison over the rows of all texts, one after the other, text by text. */
function byText(
  texts: readonly HeldOutText[],
  { rowLosses, rowDivergences, rowAgreements }: ComparedLoss,
): TextQuality[] {
  let start = 0;
  return texts.map(({ name, rows }) => {
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
