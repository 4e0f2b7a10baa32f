/**
 * Sparse mixture of experts (Shazeer et al., 2017). Every expert runs on every token and the router's weights are zero
 * for those that a token does not visit: shapes depend on nothing that only the device knows.
 *
 * Legend: T tokens, D hidden size, E experts.
 */
import type { GatedProjections, MoeSpec, PackedWeight } from '../backend.js';
import { firstLargest, marked } from './general.js';
import type { Tensor, Tf } from './load.js';
import { expertsOf, matrixOf } from './storage.js';
import { gated } from './transformer.js';

/** `count` is given what `ExpertTally` adds up, [3 E]; the tensor is freed as it returns. */
export function moe(
  tf: Tf,
  x: Tensor,
  router: PackedWeight,
  experts: GatedProjections,
  spec: MoeSpec,
  count?: (sums: Tensor) => void,
): Tensor {
  const logits = matrixOf(router).product(x);
  const visited = chosen(tf, logits, spec.topK);
  const weights = shares(tf, logits, visited, spec);
  const lengths: Tensor[] = [];
  const parts = [experts.gate, experts.up, experts.down].map(({ weight }) => expertsOf(weight));
  let sum: Tensor | undefined;
  for (let expert = 0; expert < router.shape[0]; expert++) {
    const before = sum;
    sum = tf.tidy(() => {
      const share = tf.slice(weights, [0, expert], [-1, 1]);
      const given = gated(
        tf,
        x,
        experts,
        parts.map((each) => each[expert]),
      );
      if (count) lengths.push(tf.keep(tf.norm(given, 'euclidean', 1, true)));
      const term = tf.mul(given, share);
      return before ? tf.add(before, term) : term;
    });
    before?.dispose();
  }
  if (count) {
    tf.tidy(() => {
      const weighed = tf.mul(weights, tf.concat(lengths, 1));
      count(tf.concat([visited, weights, weighed].map((of) => tf.sum(of, 0))));
    });
    for (const length of lengths) length.dispose();
  }
  return sum!;
}

/** [T, E]: the experts' scores, kept for the `topK` largest (the lower index of equals), zero elsewhere. */
export const routing = (tf: Tf, logits: Tensor, spec: MoeSpec): Tensor =>
  shares(tf, logits, chosen(tf, logits, spec.topK), spec);

/** [T, E]: ones for each token's `topK` experts. */
function chosen(tf: Tf, logits: Tensor, topK: number): Tensor {
  const experts = logits.shape[1]!;
  let left = logits;
  let mask: Tensor = tf.zerosLike(logits);
  for (let i = 0; i < topK; i++) {
    const next = marked(tf, tf.expandDims(firstLargest(tf, left, 1), 1), experts);
    mask = tf.add(mask, next);
    left = tf.sub(left, tf.mul(next, 1e30));
  }
  return mask;
}

function shares(
  tf: Tf,
  logits: Tensor,
  visited: Tensor,
  { normalise, scoring = 'softmax', scale = 1 }: MoeSpec,
): Tensor {
  const weights = tf.mul(tf[scoring](logits), visited);
  const divided = normalise ? tf.div(weights, tf.sum(weights, 1, true)) : weights;
  return scale === 1 ? divided : tf.mul(divided, scale);
}
