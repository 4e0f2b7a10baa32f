import { decodeFloats, sizeOf, type Engine, type Shape, type Tensor } from '../engine/index.js';
import {
  moduleNotFinite,
  theWeight,
  weightSource,
  type Drops,
  type ModelDescription,
  type Parameters,
  type WeightRole,
} from '../models/index.js';
import type { Importance, Scores } from './importance.js';

/** What Gate-Norm reads: a `Model`, loaded or not. */
export interface GateSource {
  readonly engine: Engine;
  readonly description: ModelDescription;
  readonly parameters: Parameters;
  readonly drops: Drops;
}

/**
 * Gate-Norm (Saikumar and Varghese, arXiv 2512.20636): ranks attentions by how strongly their queries and keys are
 * coupled, from the weights alone. Here the coupling of a layer is the Frobenius norm over all heads of W_q^T W_k, of
 * each query head with the key head that it shares; the score is its negative, so that the weakest is the most redundant.
 */
export async function gateNormScores(model: GateSource): Promise<Scores> {
  const scores: (number | null)[] = [];
  for (let layer = 0; layer < model.description.layers.length; layer++) {
    if (model.drops.attention.includes(layer)) {
      scores.push(null);
      continue;
    }
    const score = -(await coupling(model, layer));
    if (!Number.isFinite(score)) throw await moduleNotFinite(model, { layer, kind: 'attention' }, 'Gate-Norm');
    scores.push(score);
  }
  return scores;
}

/** Gate-Norm's scores in the form of the others: of attentions only, over no token. */
export async function gateNormImportance(model: GateSource): Promise<Importance> {
  const blank = blankImportance('gate-norm', model.description.layers.length);
  return { ...blank, similarity: { ...blank.similarity, attention: await gateNormScores(model) } };
}

/** Scores that were measured on no token: the same `score` for every module, by default null. */
export function blankImportance(metric: string, layers: number, score: number | null = null): Importance {
  const scores = Array.from({ length: layers }, () => score);
  return {
    metric,
    samples: 0,
    length: 0,
    tokens: 0,
    similarity: { attention: scores, mlp: scores, block: scores, attentionBare: scores, mlpBare: scores },
    blockConsecutive: [],
  };
}

async function coupling({ engine, description, parameters }: GateSource, layer: number): Promise<number> {
  const { attention } = description.layers[layer];
  const read = async (role: WeightRole): Promise<{ shape: Shape; floats: Float32Array }> => {
    const source = weightSource(parameters, theWeight(attention.weights, role));
    const rows = await source.readRows(0, sizeOf(source.shape.slice(0, -1)));
    return { shape: source.shape, floats: decodeFloats(rows, source.dtype) };
  };
  // Read before it takes a turn of the engine, so that nobody else waits for the disk.
  const weights = [await read('query'), await read('key')];
  return engine.exclusive(async () => {
    const [q, k] = weights.map(({ floats, shape }) => engine.tensor(floats, shape));
    const { headDim: d, heads, keyValueHeads: keyHeads } = attention;
    let squares = 0;
    for (let keyHead = 0; keyHead < keyHeads; keyHead++) {
      const keys = await gram(engine, k.rows(keyHead * d, (keyHead + 1) * d));
      const group = heads / keyHeads;
      for (let head = keyHead * group; head < (keyHead + 1) * group; head++) {
        const queries = await gram(engine, q.rows(head * d, (head + 1) * d));
        // |W_q^T W_k|^2 = trace((W_q W_q^T) (W_k W_k^T)), whose matrices are only [d, d].
        squares += queries.reduce((sum, value, i) => sum + value * keys[i], 0);
      }
    }
    return Math.sqrt(squares);
  });
}

/** W W^T, [d, d]. */
const gram = (engine: Engine, w: Tensor): Promise<Float32Array> =>
  engine.readFloats(engine.matmul(w, w, { transposeB: true }));
