import { decodeFloats, sizeOf, type Engine, type Tensor } from '../engine/index.js';
import { weightSource, type Model } from '../models/index.js';
import type { Scores } from './importance.js';

/**
 * Gate-Norm (Saikumar and Varghese, arXiv 2512.20636): ranks attentions by how strongly their queries and keys are
 * coupled, from the weights alone. Here the coupling of a layer is the Frobenius norm over all heads of W_q^T W_k, of
 * each query head with the key head that it shares; the score is its negative, so that the weakest is the most redundant.
 */
export async function gateNormScores(model: Model): Promise<Scores> {
  const scores: (number | null)[] = [];
  for (const layer of model.layers) scores.push(layer.skipAttention ? null : -(await coupling(model, layer.index)));
  return scores;
}

async function coupling(model: Model, layer: number): Promise<number> {
  const { engine, config } = model;
  using _scope = engine.scope();
  const [q, k] = [await readMatrix(model, 'attention.q.weight', layer), await readMatrix(model, 'attention.k.weight', layer)];
  const { headDim: d, numAttentionHeads: heads, numKeyValueHeads: keyHeads } = config;
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
}

/** W W^T, [d, d]. */
const gram = (engine: Engine, w: Tensor): Promise<Float32Array> => engine.readFloats(engine.matmul(w, w, { transposeB: true }));

async function readMatrix(model: Model, path: string, layer: number): Promise<Tensor> {
  const source = weightSource(model.parameters, model.specs.find((spec) => spec.path === path)!, layer);
  const rows = sizeOf(source.shape.slice(0, -1));
  return model.engine.tensor(decodeFloats(await source.readRows(0, rows), source.dtype), source.shape);
}
