/**
 * Sparse mixture of experts (Shazeer et al., 2017). Every expert runs on every token and the router's weights are zero
 * for those that a token does not visit: shapes depend on nothing that only the device knows.
 *
 * Legend: T tokens, D hidden size, E experts.
 */
import type { GatedProjections, MoeSpec, PackedWeight } from '../backend.js';
import { firstLargest, marked } from './general.js';
import type { Tensor, Tf } from './load.js';
import { weightOf, type TensorStorage } from './storage.js';
import { gated } from './transformer.js';

export function moe(tf: Tf, x: Tensor, router: PackedWeight, experts: GatedProjections, spec: MoeSpec): Tensor {
  const weights = routing(tf, tf.matMul(x, weightOf(router), false, true), spec);
  const parts = [experts.gate, experts.up, experts.down].map(({ weight }) => (weight.storage as TensorStorage).parts);
  let sum: Tensor | undefined;
  for (let expert = 0; expert < router.shape[0]; expert++) {
    const before = sum;
    sum = tf.tidy(() => {
      const share = tf.slice(weights, [0, expert], [-1, 1]);
      const term = tf.mul(
        gated(
          tf,
          x,
          experts,
          parts.map((each) => each[expert]),
        ),
        share,
      );
      return before ? tf.add(before, term) : term;
    });
    before?.dispose();
  }
  return sum!;
}

/** [T, E]: the experts' scores, kept for the `topK` largest (the lower index of equals), zero elsewhere. */
export function routing(tf: Tf, logits: Tensor, { topK, normalise, scoring = 'softmax', scale = 1 }: MoeSpec): Tensor {
  const experts = logits.shape[1]!;
  let left = logits;
  let mask: Tensor = tf.zerosLike(logits);
  for (let i = 0; i < topK; i++) {
    const chosen = marked(tf, tf.expandDims(firstLargest(tf, left, 1), 1), experts);
    mask = tf.add(mask, chosen);
    left = tf.sub(left, tf.mul(chosen, 1e30));
  }
  const weights = tf.mul(tf[scoring](logits), mask);
  const shares = normalise ? tf.div(weights, tf.sum(weights, 1, true)) : weights;
  return scale === 1 ? shares : tf.mul(shares, scale);
}
