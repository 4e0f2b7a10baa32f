/** A forward-like sequence of all kernels, on a tiny made-up block. */
import {
  arraySource,
  createBatch,
  type Accumulator,
  type Batch,
  type Engine,
  type KvCache,
  type Tensor,
  type Weight,
} from '../../src/engine/index.js';

const [vocabulary, width, inner, heads, keyValueHeads, headDim, experts] = [19, 8, 12, 4, 2, 4, 4];
export const sizes = { vocabulary, width, keyValueHeads, headDim };

/** Even numbers in [-1, 1), the same for the same seed (Marsaglia's xorshift). */
export function values(count: number, seed: number): Float32Array {
  let state = seed * 2654435761 || 1;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  });
}

export interface Block {
  readonly weights: Record<
    'embed' | 'query' | 'key' | 'value' | 'out' | 'gate' | 'up' | 'down' | 'router' | 'gates' | 'ups' | 'downs',
    Weight
  >;
  readonly gain: Tensor;
  readonly bias: Tensor;
  readonly cos: Tensor;
  readonly sin: Tensor;
}

export async function createBlock(engine: Engine): Promise<Block> {
  let seed = 1;
  const linear = (out: number, from: number): Promise<Weight> =>
    engine.pack(arraySource(values(out * from, seed++), [out, from], { dtype: 'bfloat16' }), 'linear');
  const several = (out: number, from: number): Promise<Weight> =>
    engine.pack(
      arraySource(values(experts * out * from, seed++), [experts, out, from], { dtype: 'float16' }),
      'experts',
    );
  const angles = Float32Array.from({ length: 32 * (headDim / 2) }, (_, i) => Math.floor(i / 2) / 10 ** (i % 2));
  return {
    weights: {
      embed: await engine.pack(arraySource(values(vocabulary * width, seed++), [vocabulary, width]), 'both'),
      query: await linear(heads * headDim, width),
      key: await linear(keyValueHeads * headDim, width),
      value: await linear(keyValueHeads * headDim, width),
      out: await linear(width, heads * headDim),
      gate: await linear(inner, width),
      up: await linear(inner, width),
      down: await linear(width, inner),
      router: await linear(experts, width),
      gates: await several(inner, width),
      ups: await several(inner, width),
      downs: await several(width, inner),
    },
    gain: engine.tensor(values(width, seed++)),
    bias: engine.tensor(values(heads * headDim, seed++)),
    cos: engine.tensor(angles.map(Math.cos), [32, headDim / 2]),
    sin: engine.tensor(angles.map(Math.sin), [32, headDim / 2]),
  };
}

export interface Sums {
  readonly cosine: Accumulator;
  readonly gram: Accumulator;
}

export interface Ways {
  readonly cache?: KvCache;
  readonly window?: number;
  readonly softCap?: number;
  readonly normalise?: boolean;
}

/** Logits [T, V] and losses [T]; each kernel at least once. */
export function forward(
  engine: Engine,
  { weights, gain, bias, cos, sin }: Block,
  batch: Batch,
  sums: Sums,
  ways: Ways = {},
): { logits: Tensor; losses: Tensor } {
  const { cache, window, softCap, normalise = true } = ways;
  const norm = { gain, epsilon: 1e-5 };
  const spec = { heads, keyValueHeads, headDim, scale: headDim ** -0.5, rotary: { cos, sin }, window, softCap };
  const start = engine.embed(weights.embed, batch);
  const [q, k, v] = engine.linear(
    start,
    [{ weight: weights.query, bias }, { weight: weights.key }, { weight: weights.value }],
    { norm },
  );
  const mixed = engine.attention({ q, k, v, cache, layer: 0, batch, spec });
  const [attended] = engine.linear(mixed, [{ weight: weights.out }], { add: start });
  const projections = (gate: Weight, up: Weight, down: Weight) => ({
    gate: { weight: gate },
    up: { weight: up },
    down: { weight: down },
  });
  const dense = engine.gatedMlp(attended, projections(weights.gate, weights.up, weights.down), { norm, add: attended });
  const sparse = engine.moe(
    dense,
    weights.router,
    projections(weights.gates, weights.ups, weights.downs),
    { topK: 2, normalise },
    { norm, add: dense },
  );
  engine.cosine(start, sparse, sums.cosine, 1);
  engine.gram(sparse, sums.gram);
  const targets = Int32Array.from(batch.tokens, (token, i) => (i === 0 ? -1 : token));
  const losses = engine.crossEntropy(sparse, { weight: weights.embed, norm }, targets);
  const [logits] = engine.linear(engine.rmsNorm(sparse, norm), [{ weight: weights.embed }]);
  cache?.advance(batch);
  return { logits, losses };
}

/** Two sequences of different lengths. */
export const batch = createBatch([
  [3, 1, 4, 1, 5, 9, 2],
  [6, 5, 3, 18],
]);
