import type { Tensor } from '../engine/index.js';
import { KeptOutputs, walkRows, type WalkOptions } from '../walk/index.js';
import { notFinite, type Model } from '../models/index.js';
import { likeliestTokens } from './likeliestTokens.js';
import { checkPredictable, lossOf, rowNats, type LossResult } from './loss.js';

/** A loss, and how near the outputs are to those of the same model as it was when the reference was made. */
export interface ComparedLoss extends LossResult {
  /** Mean KL divergence from the reference's next-token distributions, in nats, over all positions. */
  readonly divergence: number;
  /** Share of all positions whose likeliest token is the reference's. */
  readonly agreement: number;
  /** Divergence and agreement by row. */
  readonly rowDivergences: readonly number[];
  readonly rowAgreements: readonly number[];
}

type Options = Omit<WalkOptions, 'observer'>;

/**
 * A model's outputs on rows, for others to be held against, kept in the backend's memory. Free it with `dispose`.
 */
export class ReferenceOutputs implements Disposable {
  private constructor(
    readonly model: Model,
    readonly rows: readonly Int32Array[],
    private readonly kept: KeptOutputs,
    private readonly likeliest: readonly Int32Array[],
  ) {}

  /** Runs the model under its present skip flags, and keeps its outputs. */
  static async of(model: Model, rows: readonly Int32Array[], options: Options = {}): Promise<ReferenceOutputs> {
    checkPredictable(rows, 'a comparison');
    const likeliest: Int32Array[] = [];
    const kept = await KeptOutputs.of(model, rows, options, async (output) => {
      likeliest.push(await likeliestTokens(model, output));
    });
    return new ReferenceOutputs(model, rows, kept, likeliest);
  }

  /** Compares the model under its present skip flags, in one pass over the rows. */
  async compare(options: Options = {}): Promise<ComparedLoss> {
    const { model, rows } = this;
    const nats: number[] = [];
    const divergences: number[] = [];
    const agreeing: number[] = [];
    await walkRows(model, rows, options, async (output, index) => {
      nats.push(await rowNats(model, output, rows[index]));
      divergences.push(await rowDivergence(model, this.kept.outputs[index], output, rows[index]));
      const tokens = await likeliestTokens(model, output);
      agreeing.push(tokens.reduce((sum, token, i) => sum + (token === this.likeliest[index][i] ? 1 : 0), 0));
    });
    const positions = rows.reduce((sum, { length }) => sum + length, 0);
    return {
      ...lossOf(
        nats,
        rows.map(({ length }) => length - 1),
      ),
      divergence: sum(divergences) / positions,
      agreement: sum(agreeing) / positions,
      rowDivergences: divergences.map((value, i) => value / rows[i].length),
      rowAgreements: agreeing.map((count, i) => count / rows[i].length),
    };
  }

  dispose(): void {
    this.kept.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * KL divergence of all positions of a row together, in nats: of `hidden` from `reference`, last hidden states [T, D].
 * NotFiniteError for no number.
 */
export async function rowDivergence(model: Model, reference: Tensor, hidden: Tensor, row: Int32Array): Promise<number> {
  const divergences = await model.engine.readFloats(model.divergences(reference, hidden));
  const nats = sum(divergences);
  if (!Number.isFinite(nats)) throw await notFinite(model, row, 'the divergence');
  return nats;
}

const sum = (values: Iterable<number>): number => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};
