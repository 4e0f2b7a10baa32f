/** Norms, projections, the gated MLP and the loss. Legend: T tokens, D hidden size, V vocabulary. */
import type { Fusion, GatedProjections, Head, Norm, Projection } from '../backend.js';
import { gatedBy, interpret, logitExpression } from '../expression.js';
import { algebra } from './algebra.js';
import { marked } from './general.js';
import type { Tensor, Tf } from './load.js';
import type { Matrix } from './matrix.js';
import { matrixOf, view } from './storage.js';

export function rmsNorm(tf: Tf, x: Tensor, { gain, epsilon }: Norm): Tensor {
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), epsilon));
  return tf.mul(tf.mul(x, scale), view(tf, gain, [x.shape[1]!]));
}

export const normed = (tf: Tf, x: Tensor, norm: Norm | undefined): Tensor => (norm ? rmsNorm(tf, x, norm) : x);

/** A finished sum with what a fusion adds to it. */
export const added = (tf: Tf, y: Tensor, { add }: Fusion): Tensor => (add ? tf.add(y, view(tf, add)) : y);

/** `x W^T + bias` */
export function project(tf: Tf, x: Tensor, { weight, bias }: Projection, w: Matrix = matrixOf(weight)): Tensor {
  return biased(tf, w.product(x), bias && view(tf, bias, [w.rows]));
}

const biased = (tf: Tf, y: Tensor, bias: Tensor | undefined): Tensor => (bias ? tf.add(y, bias) : y);

/** `down(activation(gate(x)) * up(x))`; an expert's weights are given apart. */
export function gated(
  tf: Tf,
  x: Tensor,
  { gate, up, down, activation = 'silu' }: GatedProjections,
  [g, u, d]: readonly Matrix[] = [gate, up, down].map(({ weight }) => matrixOf(weight)),
): Tensor {
  const [opened, lifted] = [project(tf, x, gate, g), project(tf, x, up, u)];
  const hidden = interpret(gatedBy(activation), algebra(tf), opened, lifted);
  return project(tf, hidden, down, d);
}

/** Logits in memory at a time. */
const logitBudget = 2 ** 24;

/** [T]: `log(sum(exp(logits))) - logits[target]`, some rows of logits at a time; 0 for a target of -1. */
export function crossEntropy(tf: Tf, h: Tensor, head: Head, targets: Int32Array, budget = logitBudget): Tensor {
  const rows = Math.max(1, Math.floor(budget / head.weight.shape[0]));
  const hidden = normed(tf, h, head.norm);
  const losses: Tensor[] = [tf.zeros([0])];
  for (let start = 0; start < targets.length; start += rows) {
    const part = targets.slice(start, start + rows);
    losses.push(tf.tidy(() => lossOfRows(tf, tf.slice(hidden, [start, 0], [part.length, -1]), head, part)));
  }
  return tf.concat(losses);
}

/** Of rows under the head's norm, scaled and softly capped. */
const logitsOf = (tf: Tf, rows: Tensor, head: Head): Tensor =>
  interpret(logitExpression(head) ?? 'x', algebra(tf), project(tf, rows, head));

function lossOfRows(tf: Tf, hidden: Tensor, head: Head, targets: Int32Array): Tensor {
  const logits = logitsOf(tf, hidden, head);
  const largest = tf.max(logits, 1, true);
  const logSum = tf.log(tf.sum(tf.exp(tf.sub(logits, largest)), 1));
  const target = marked(tf, tf.tensor2d(targets, [targets.length, 1], 'int32'), head.weight.shape[0]);
  const chosen = tf.sum(tf.mul(logits, target), 1);
  const loss = tf.add(logSum, tf.sub(tf.reshape(largest, [targets.length]), chosen));
  return tf.mul(loss, tf.tensor1d(Float32Array.from(targets, (each) => (each < 0 ? 0 : 1))));
}

/** [T]: `sum(p * log(p / q))`, some rows of logits at a time. */
export function divergence(tf: Tf, reference: Tensor, h: Tensor, head: Head, budget = logitBudget): Tensor {
  const rows = Math.max(1, Math.floor(budget / head.weight.shape[0]));
  const [left, right] = [reference, h].map((x) => normed(tf, x, head.norm));
  const parts: Tensor[] = [tf.zeros([0])];
  for (let start = 0; start < h.shape[0]; start += rows)
    parts.push(
      tf.tidy(() => {
        const logProbabilities = (x: Tensor): Tensor => {
          const part = tf.slice(x, [start, 0], [Math.min(rows, h.shape[0] - start), -1]);
          return tf.logSoftmax(logitsOf(tf, part, head));
        };
        const [p, q] = [logProbabilities(left), logProbabilities(right)];
        return tf.sum(tf.mul(tf.exp(p), tf.sub(p, q)), 1);
      }),
    );
  return tf.concat(parts);
}
