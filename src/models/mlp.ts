import type { GatedProjections, Projection, Tensor, Weight } from '../engine/index.js';
import type { Context } from './context.js';
import type { GatedMlpDescription, MixtureDescription, MlpDescription } from './description.js';

export interface GatedMlpWeights extends GatedProjections<Tensor, Weight> {
  readonly norm?: Tensor;
  readonly postNorm?: Tensor;
}

export interface MixtureWeights {
  readonly norm?: Tensor;
  readonly postNorm?: Tensor;
  readonly router: Projection<Tensor, Weight>;
  readonly experts: GatedProjections<Tensor, Weight>;
}

export type MlpWeights = GatedMlpWeights | MixtureWeights;

/** What the MLP gives for x [T, D], and with `add` that added to it. */
export const mlp = (d: MlpDescription, w: MlpWeights, hidden: Tensor, ctx: Context, add?: Tensor): Tensor =>
  d.kind === 'gated'
    ? gatedMlp(d, w as GatedMlpWeights, hidden, ctx, add)
    : mixture(d, w as MixtureWeights, hidden, ctx, add);

/** `down(silu(gate(norm(x))) * up(norm(x)))` */
const gatedMlp = (d: GatedMlpDescription, w: GatedMlpWeights, hidden: Tensor, ctx: Context, add?: Tensor): Tensor =>
  ctx.leave(d, w, (residual) => ctx.gatedMlp(hidden, w, { norm: ctx.entrance(d, w), add: residual }), add);

/** The sum over each token's top experts e of p_e / sum(p) * down_e(silu(gate_e x) * up_e x), p = softmax(router x). */
const mixture = (
  { topK, normalise, ...d }: MixtureDescription,
  w: MixtureWeights,
  hidden: Tensor,
  ctx: Context,
  add?: Tensor,
): Tensor =>
  ctx.leave(
    d,
    w,
    (residual) =>
      ctx.moe(hidden, w.router.weight, w.experts, { topK, normalise }, { norm: ctx.entrance(d, w), add: residual }),
    add,
  );
