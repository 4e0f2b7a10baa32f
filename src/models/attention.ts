import type { Norm, Projection, Tensor, Weight } from '../engine/index.js';
import type { Context } from './context.js';
import type { AttentionDescription } from './description.js';

/** [D], projections, and norms of queries and keys where the description has them. */
export interface AttentionWeights {
  readonly norm?: Tensor;
  readonly postNorm?: Tensor;
  readonly q: Projection<Tensor, Weight>;
  readonly k: Projection<Tensor, Weight>;
  readonly v: Projection<Tensor, Weight>;
  readonly o: Projection<Tensor, Weight>;
  readonly qNorm?: Tensor;
  readonly kNorm?: Tensor;
}

/** `o(attention(q(norm(x)), k(norm(x)), v(norm(x))))` of x [T, D], and with `add` that added to it. */
export function attention(
  d: AttentionDescription,
  w: AttentionWeights,
  hidden: Tensor,
  ctx: Context,
  add?: Tensor,
): Tensor {
  const [q, k, v] = ctx.queriesKeysValues(hidden, w, { norm: ctx.entrance(d, w) }); // [T, H d], [T, K d], [T, K d]
  const mixed = ctx.attend(d, normed(d, q, w.qNorm, ctx), normed(d, k, w.kNorm, ctx), v); // [T, H d]
  return ctx.leave(d, w, (residual) => ctx.linear(mixed, { 'attention.o': w.o }, { add: residual })[0], add); // [T, D]
}

/** Queries or keys [T, heads d], each head on its own or all at once; as they are where the model has no such norm. */
function normed(
  { queryKeyNorm, headDim }: AttentionDescription,
  x: Tensor,
  gain: Tensor | undefined,
  ctx: Context,
): Tensor {
  if (!queryKeyNorm) return x;
  const norm: Norm<Tensor> = { gain: gain!, epsilon: queryKeyNorm.epsilon };
  if (queryKeyNorm.over === 'all') return ctx.engine.rmsNorm(x, norm);
  return ctx.engine.rmsNorm(x.reshape([-1, headDim]), norm).reshape(x.shape);
}
