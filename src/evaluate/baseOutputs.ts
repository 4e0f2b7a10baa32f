import { UserError, allFinite, type Tensor } from '../engine/index.js';
import { defaultMaxMemory, notFinite, type Model } from '../models/index.js';
import { waitingStates, walkOutputs, type HiddenStates, type OutputOptions } from '../walk/index.js';
import { checkPredictable, lossOf, type LossResult } from './loss.js';

/** Logits of both models are made for so many numbers at once. */
const logitsAtOnce = 2 ** 22;

/** How far a model's next-token distributions are from another's, over all predictions that count. */
export interface ModelDivergence {
  /** KL divergence from the base's distributions, in nats: the mean, and what 99 % of the predictions stay below. */
  readonly mean: number;
  readonly p99: number;
  /** Share of predictions whose likeliest token is the base's. */
  readonly agreement: number;
  /** Shares of predictions that this model gets right and the base wrong, and the reverse. */
  readonly gained: number;
  readonly lost: number;
  /** The base's loss on the same tokens. */
  readonly base: LossResult;
}

export interface BaseOptions extends OutputOptions {
  /** As for `evaluateLoss`. */
  readonly counted?: readonly number[];
}

/**
 * The last hidden states of a base model on some rows, to hold another model against: 4 x hidden size bytes a token wait
 * (on the disk where they take a quarter of the memory), and no logits. The base then needs its output projection alone.
 * To be disposed.
 */
export class BaseOutputs implements Disposable {
  private constructor(
    private readonly base: Model,
    private readonly rows: readonly Int32Array[],
    private readonly counted: readonly number[],
    private readonly states: HiddenStates,
  ) {}

  /** Runs the base under its present skip flags, loaded or streamed, and unloads all of it but the output projection. */
  static async of(
    base: Model,
    rows: readonly Int32Array[],
    { counted = rows.map(({ length }) => length - 1), ...options }: BaseOptions = {},
  ): Promise<BaseOutputs> {
    checkPredictable(rows, 'a comparison');
    const { maxMemory = defaultMaxMemory() } = options;
    const lengths = counted.map((length) => ({ length }));
    const states = waitingStates(lengths, base.config.hiddenSize, { streams: 1, most: maxMemory / 4 });
    try {
      await walkOutputs(base, rows, options, async (hidden, row) => {
        states.write(0, row, await base.engine.readFloats(predicting(hidden, rows[row], counted[row])));
      });
      base.unload();
      await base.loadOutput();
      return new BaseOutputs(base, rows, counted, states);
    } catch (error) {
      states[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Compares a model of the same vocabulary and the same engine, loaded or streamed, row by row, a few predictions at a
   * time; gives its loss too.
   */
  async compare(model: Model, options: OutputOptions = {}): Promise<{ loss: LossResult; divergence: ModelDivergence }> {
    const { base, rows, counted } = this;
    if (model.config.vocabSize !== base.config.vocabSize)
      throw new UserError(
        `the models have ${model.config.vocabSize} and ${base.config.vocabSize} tokens: only those of one vocabulary can be compared`,
      );
    const nats: number[] = [];
    const baseNats: number[] = [];
    const found: number[] = [];
    const shares = { agreement: 0, gained: 0, lost: 0 };
    await walkOutputs(model, rows, options, async (hidden, index) => {
      const row = rows[index];
      const count = counted[index];
      const ours = predicting(hidden, row, count);
      const theirs = base.engine.tensor(this.states.read(0, index), [count, base.config.hiddenSize]);
      let [sum, baseSum] = [0, 0];
      for await (const { target, now, before } of this.#predictions(model, ours, theirs, row.slice(-count))) {
        sum += lossOn(now, target);
        baseSum += lossOn(before, target);
        found.push(divergence(before, now));
        shares.agreement += Number(now.likeliest === before.likeliest);
        shares.gained += Number(now.likeliest === target && before.likeliest !== target);
        shares.lost += Number(now.likeliest !== target && before.likeliest === target);
      }
      nats.push(sum);
      baseNats.push(baseSum);
    });
    const share = (of: number): number => of / found.length;
    return {
      loss: lossOf(nats, counted),
      divergence: {
        mean: share(found.reduce((sum, value) => sum + value, 0)),
        p99: quantile(found, 0.99),
        agreement: share(shares.agreement),
        gained: share(shares.gained),
        lost: share(shares.lost),
        base: lossOf(baseNats, counted),
      },
    };
  }

  async *#predictions(
    model: Model,
    ours: Tensor,
    theirs: Tensor,
    targets: Int32Array,
  ): AsyncGenerator<{ target: number; now: Distribution; before: Distribution }> {
    const { vocabSize } = model.config;
    const chunk = Math.max(1, Math.floor(logitsAtOnce / vocabSize));
    for (let start = 0; start < targets.length; start += chunk) {
      const end = Math.min(start + chunk, targets.length);
      const [now, before] = [
        await logitsOf(model, ours.rows(start, end), targets),
        await logitsOf(this.base, theirs.rows(start, end), targets),
      ];
      for (let i = 0; i < end - start; i++) {
        const at = (logits: Float32Array): Distribution =>
          distribution(logits.subarray(i * vocabSize, (i + 1) * vocabSize));
        yield { target: targets[start + i], now: at(now), before: at(before) };
      }
    }
  }

  dispose(): void {
    this.states[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The rows of hidden states [T, D] that predict a row's last tokens. */
const predicting = (hidden: Tensor, row: Int32Array, counted: number): Tensor =>
  hidden.rows(row.length - 1 - counted, row.length - 1);

async function logitsOf(model: Model, hidden: Tensor, row: Int32Array): Promise<Float32Array> {
  using _logits = model.engine.scope();
  const logits = await model.engine.readFloats(model.logits(hidden));
  if (!allFinite(logits)) throw await notFinite(model, row, 'a logit');
  return logits;
}

/** Logits of a prediction, the logarithm of what their exponentials sum to, and the first of the largest. */
interface Distribution {
  readonly logits: Float32Array;
  readonly total: number;
  readonly likeliest: number;
}

function distribution(logits: Float32Array): Distribution {
  let likeliest = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[likeliest]) likeliest = i;
  const most = logits[likeliest];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - most);
  return { logits, total: most + Math.log(sum), likeliest };
}

const lossOn = ({ logits, total }: Distribution, token: number): number => total - logits[token];

/** KL divergence of q from p, in nats: sum over v of p log(p / q). */
function divergence(p: Distribution, q: Distribution): number {
  let sum = 0;
  for (let i = 0; i < p.logits.length; i++) {
    const log = p.logits[i] - p.total;
    sum += Math.exp(log) * (log - (q.logits[i] - q.total));
  }
  return sum;
}

/** Between the two nearest of the sorted values, by distance. */
function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}
