import type { Fusion, GatedProjections, Projection, Tensor, Weight } from '../engine/index.js';
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
  readonly shared?: GatedProjections<Tensor, Weight> & { readonly router?: Projection<Tensor, Weight> };
}

export type MlpWeights = GatedMlpWeights | MixtureWeights;

/** What the MLP gives for x [T, D], and with `add` that added to it. */
export const mlp = (d: MlpDescription, w: MlpWeights, hidden: Tensor, ctx: Context, add?: Tensor): Tensor =>
  d.kind === 'gated'
    ? gatedMlp(d, w as GatedMlpWeights, hidden, ctx, add)
    : mixture(d, w as MixtureWeights, hidden, ctx, add);

/** `down(activation(gate(norm(x))) * up(norm(x)))` */
const gatedMlp = (d: GatedMlpDescription, w: GatedMlpWeights, hidden: Tensor, ctx: Context, add?: Tensor): Tensor =>
  ctx.leave(
    d,
    w,
    (residual) => ctx.gatedMlp(hidden, { ...w, activation: d.activation }, { norm: ctx.entrance(d, w), add: residual }),
    add,
  );

/**
 * The sum over each token's top experts e of p_e / sum(p) * down_e(activation(gate_e x) * up_e x), p = softmax(router x),
 * and what the shared expert gives.
 */
const mixture = (d: MixtureDescription, w: MixtureWeights, hidden: Tensor, ctx: Context, add?: Tensor): Tensor =>
  ctx.leave(
    d,
    w,
    (residual) => {
      const { topK, normalise, scale, activation } = d;
      const route = (x: Tensor, fusion: Fusion<Tensor>): Tensor =>
        ctx.moe(x, w.router.weight, { ...w.experts, activation }, { topK, normalise, scale }, fusion);
      const norm = ctx.entrance(d, w);
      if (!w.shared) return route(hidden, { norm, add: residual });
      const x = norm ? ctx.engine.rmsNorm(hidden, norm) : hidden;
      // The stream comes last, so that a pass whose modules are watched adds in the same order.
      const delta = sharedExpert({ ...w.shared, activation }, x, ctx, route(x, {}));
      return residual ? ctx.engine.add(residual, delta) : delta;
    },
    add,
  );

/** `add` + sigmoid(router x) * down(activation(gate x) * up x) */
function sharedExpert(
  { router, ...projections }: NonNullable<MixtureWeights['shared']>,
  x: Tensor,
  ctx: Context,
  add: Tensor,
): Tensor {
  if (!router) return ctx.gatedMlp(x, projections, { add }, 'mlp.shared');
  const [weight] = ctx.linear(x, { 'mlp.shared.router': router });
  const given = ctx.gatedMlp(x, projections, {}, 'mlp.shared');
  return ctx.engine.add(add, ctx.engine.map(given, ['multiply', 'x', ['sigmoid', 'y']], weight));
}
