/**
 * A mixture on TensorFlow: tokens are parted by the experts that they visit, each expert runs on its own, and one that
 * none visits costs nothing. The host hears how many tokens each part has, and nothing of what is in it.
 *
 * Legend: T tokens, D hidden size, E experts, k experts a token.
 */
import type { GatedProjections, MoeSpec, PackedWeight } from '../backend.js';
import type { Tensor } from './load.js';
import { expertsOf, matrixOf } from './storage.js';
import { float32, int32, type TensorFlow } from './tensorflow.js';
import { gated } from './transformer.js';

/** As `moe`. */
export function visitedExperts(
  flow: TensorFlow,
  x: Tensor,
  router: PackedWeight,
  experts: GatedProjections,
  spec: MoeSpec,
  count?: (sums: Tensor) => void,
): Tensor {
  const { tf } = flow;
  const [tokens, width] = x.shape as [number, number];
  const { topK } = spec;
  const [E] = router.shape;
  const logits = matrixOf(router).product(x);
  const index = largest(flow, logits, topK);
  const weights = shares(flow, logits, index, spec);

  const visits = tf.range(0, tokens * topK, 1, 'int32');
  const chosen = tf.reshape(index, [tokens * topK]);
  const parts = flow.runAll('DynamicPartition', [visits, chosen], { num_partitions: E, T: int32 }, E);
  const matrices = [experts.gate, experts.up, experts.down].map(({ weight }) => expertsOf(weight));
  const visited = parts.flatMap((visit, expert) => (visit.size > 0 ? [{ visit, expert }] : []));
  const given = visited.map(({ visit, expert }) =>
    tf.tidy(() => {
      const own = flow.gather(x, tf.floorDiv(visit, tf.scalar(topK, 'int32')));
      return gated(
        tf,
        own,
        experts,
        matrices.map((each) => each[expert]),
      );
    }),
  );
  const inputs = [...visited.map(({ visit }) => visit), ...given];
  const all = flow.run('DynamicStitch', inputs, { N: visited.length, T: float32 }); // [T k, D]
  if (count) {
    const weight = tf.reshape(weights, [tokens * topK]);
    const each = tf.stack([tf.onesLike(weight), weight, tf.mul(weight, tf.norm(all, 'euclidean', 1))], 1);
    count(tf.reshape(tf.transpose(tf.unsortedSegmentSum(each, chosen as never, E)), [3 * E]));
  }
  return tf.sum(tf.mul(tf.reshape(all, [tokens, topK, width]), tf.expandDims(weights, 2)), 1);
}

/** [T, k]: each token's experts, the lower index of equals first. */
function largest(flow: TensorFlow, logits: Tensor, topK: number): Tensor {
  const k = flow.tf.scalar(topK, 'int32');
  return flow.runAll('TopKV2', [logits, k], { sorted: true, T: float32, Tk: int32, index_type: int32 }, 2)[1];
}

/** [T, k]: their weights. */
function shares(flow: TensorFlow, logits: Tensor, index: Tensor, spec: MoeSpec): Tensor {
  const { tf } = flow;
  const { normalise, scoring = 'softmax', scale = 1 } = spec;
  const attributes = { Tparams: float32, Tindices: int32, Taxis: int32, batch_dims: 1 };
  const weights = flow.run('GatherV2', [tf[scoring](logits), index, tf.scalar(1, 'int32')], attributes);
  const divided = normalise ? tf.div(weights, tf.sum(weights, 1, true)) : weights;
  return scale === 1 ? divided : tf.mul(divided, scale);
}
