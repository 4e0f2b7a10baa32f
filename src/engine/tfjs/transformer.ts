/** Norms, projections, the gated MLP and the loss. Legend: T tokens, D hidden size, V vocabulary. */
import type { Fusion, GatedProjections, Norm, PackedWeight, Projection } from '../backend.js';
import { marked } from './general.js';
import type { Tensor, Tf } from './load.js';
import { view, weightOf } from './storage.js';

export function rmsNorm(tf: Tf, x: Tensor, { gain, epsilon }: Norm): Tensor {
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), epsilon));
  return tf.mul(tf.mul(x, scale), view(tf, gain, [x.shape[1]!]));
}

export const normed = (tf: Tf, x: Tensor, norm: Norm | undefined): Tensor => (norm ? rmsNorm(tf, x, norm) : x);

/** A finished sum with what a fusion adds to it. */
export const added = (tf: Tf, y: Tensor, { add }: Fusion): Tensor => (add ? tf.add(y, view(tf, add)) : y);

/** `x W^T + bias` */
export function project(tf: Tf, x: Tensor, { weight, bias }: Projection, w: Tensor = weightOf(weight)): Tensor {
  return biased(tf, tf.matMul(x, w, false, true), bias && view(tf, bias, [w.shape[0]]));
}

const biased = (tf: Tf, y: Tensor, bias: Tensor | undefined): Tensor => (bias ? tf.add(y, bias) : y);

/** silu(gate) * up */
export const siluMultiply = (tf: Tf, gate: Tensor, up: Tensor): Tensor => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);

/** `down(silu(gate(x)) * up(x))`; an expert's weights are given apart. */
export function gated(
  tf: Tf,
  x: Tensor,
  { gate, up, down }: GatedProjections,
  [g, u, d]: readonly Tensor[] = [gate, up, down].map(({ weight }) => weightOf(weight)),
): Tensor {
  const hidden = siluMultiply(tf, project(tf, x, gate, g), project(tf, x, up, u));
  return project(tf, hidden, down, d);
}

/** Logits in memory at a time. */
const logitBudget = 2 ** 24;

/** [T]: `log(sum(exp(logits))) - logits[target]`, some rows of logits at a time; 0 for a target of -1. */
export function crossEntropy(
  tf: Tf,
  h: Tensor,
  head: PackedWeight,
  targets: Int32Array,
  norm: Norm | undefined,
  budget = logitBudget,
): Tensor {
  const rows = Math.max(1, Math.floor(budget / head.shape[0]));
  const hidden = normed(tf, h, norm);
  const losses: Tensor[] = [tf.zeros([0])];
  for (let start = 0; start < targets.length; start += rows) {
    const part = targets.slice(start, start + rows);
    losses.push(tf.tidy(() => lossOfRows(tf, tf.slice(hidden, [start, 0], [part.length, -1]), weightOf(head), part)));
  }
  return tf.concat(losses);
}

function lossOfRows(tf: Tf, hidden: Tensor, head: Tensor, targets: Int32Array): Tensor {
  const logits = tf.matMul(hidden, head, false, true);
  const largest = tf.max(logits, 1, true);
  const logSum = tf.log(tf.sum(tf.exp(tf.sub(logits, largest)), 1));
  const target = marked(tf, tf.tensor2d(targets, [targets.length, 1], 'int32'), head.shape[0]);
  const chosen = tf.sum(tf.mul(logits, target), 1);
  const loss = tf.add(logSum, tf.sub(tf.reshape(largest, [targets.length]), chosen));
  return tf.mul(loss, tf.tensor1d(Float32Array.from(targets, (each) => (each < 0 ? 0 : 1))));
}

/** [T]: `sum(p * log(p / q))`, some rows of logits at a time. */
export function divergence(
  tf: Tf,
  reference: Tensor,
  h: Tensor,
  head: PackedWeight,
  norm: Norm | undefined,
  budget = logitBudget,
): Tensor {
  const rows = Math.max(1, Math.floor(budget / head.shape[0]));
  const [left, right] = [reference, h].map((x) => normed(tf, x, norm));
  const parts: Tensor[] = [tf.zeros([0])];
  for (let start = 0; start < h.shape[0]; start += rows)
    parts.push(
      tf.tidy(() => {
        const logProbabilities = (x: Tensor): Tensor => {
          const part = tf.slice(x, [start, 0], [Math.min(rows, h.shape[0] - start), -1]);
          return tf.logSoftmax(tf.matMul(part, weightOf(head), false, true));
        };
        const [p, q] = [logProbabilities(left), logProbabilities(right)];
        return tf.sum(tf.mul(tf.exp(p), tf.sub(p, q)), 1);
      }),
    );
  return tf.concat(parts);
}
