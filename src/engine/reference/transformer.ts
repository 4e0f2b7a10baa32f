/** The transformer kernels as their formulas: plain loops, float64 between, float32 where a tensor is stored. */
import type { GatedProjections, Head, MoeSpec, Norm, PackedWeight, Projection } from '../backend.js';
import { gatedBy, interpret, logitExpression } from '../expression.js';
import { algebra } from './algebra.js';
import { softmaxOf } from './general.js';
import { flat, view, type Floats } from './view.js';

/** y[r] = x[r] * gain / sqrt(mean(x[r]^2) + epsilon) */
export function rmsNorm(x: Floats, { gain, epsilon }: Norm): Float32Array {
  const [rows, width] = x.shape;
  const gains = flat(gain);
  const y = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += x.get(r, i) ** 2;
    const scale = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i++) y[r * width + i] = x.get(r, i) * scale * gains[i];
  }
  return y;
}

/** y[r, o] = sum_i x[r, i] w[o, i] + bias[o], rounded to float32 once. */
export function project(x: Floats, w: Floats, bias?: Float32Array): Float32Array {
  const [rows] = x.shape;
  const [out] = w.shape;
  const y = new Float32Array(rows * out);
  for (let r = 0; r < rows; r++) {
    const input = rowOf(x, r);
    for (let o = 0; o < out; o++) y[r * out + o] = dot(input, rowOf(w, o)) + (bias ? bias[o] : 0);
  }
  return y;
}

const rowOf = (x: Floats, row: number): Float32Array =>
  x.data.subarray(x.offset + row * x.stride[0], x.offset + row * x.stride[0] + x.shape[1]);

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export const linear = (x: Floats, { weight, bias }: Projection): Float32Array =>
  project(x, view(weight), bias && flat(bias));

/** down(activation(gate(x)) * up(x)); `expert` picks one of [experts, out, in] weights. */
export function gatedMlp(
  x: Floats,
  { gate, up, down, activation = 'silu' }: GatedProjections,
  expert?: number,
): Float32Array {
  const weight = (p: Projection): Floats => (expert === undefined ? view(p.weight) : view(p.weight).pick(expert));
  const bias = (p: Projection): Float32Array | undefined => p.bias && flat(p.bias);
  const opened = project(x, weight(gate), bias(gate));
  const lifted = project(x, weight(up), bias(up));
  const expression = gatedBy(activation);
  const hidden = opened.map((value, i) => interpret(expression, algebra, value, lifted[i]));
  return project(asRows(hidden, x.shape[0]), weight(down), bias(down));
}

/** Each token's top-k experts by their scores; equal ones choose the lower index. */
export function route(
  x: Floats,
  router: PackedWeight,
  { topK, normalise, scoring = 'softmax', scale = 1 }: MoeSpec,
): { expert: number; weight: number }[][] {
  const [experts] = router.shape;
  const logits = project(x, view(router));
  return Array.from({ length: x.shape[0] }, (_, row) => {
    const own = Array.from(logits.subarray(row * experts, (row + 1) * experts));
    const weights = scoring === 'softmax' ? softmaxOf(own) : own.map(algebra.sigmoid);
    const chosen = weights
      .map((weight, expert) => ({ expert, weight }))
      .sort((a, b) => b.weight - a.weight || a.expert - b.expert)
      .slice(0, topK);
    const total = normalise ? chosen.reduce((sum, { weight }) => sum + weight, 0) : 1;
    return chosen.map(({ expert, weight }) => ({ expert, weight: (weight / total) * scale }));
  });
}

/** What an expert does for a token that visits it: the weight that it gets, and the L2 norm of what it gives. */
type OnVisit = (expert: number, weight: number, norm: number) => void;

export function moe(
  x: Floats,
  router: PackedWeight,
  experts: GatedProjections,
  spec: MoeSpec,
  onVisit?: OnVisit,
): Float32Array {
  const [rows, width] = x.shape;
  const y = new Float32Array(rows * width);
  route(x, router, spec).forEach((chosen, row) => {
    const sum = new Float64Array(width);
    for (const { expert, weight } of chosen) {
      const given = gatedMlp(x.lo(row, 0).hi(1, width), experts, expert);
      given.forEach((value, i) => (sum[i] += weight * value));
      onVisit?.(expert, weight, Math.sqrt(dot(given, given)));
    }
    y.set(sum, row * width);
  });
  return y;
}

/** A row's logits, scaled and softly capped as the head says. */
function logitsOf(x: Floats, row: number, head: Head): Float64Array {
  const logits = linear(x.lo(row, 0).hi(1, x.shape[1]), head);
  const expression = logitExpression(head) ?? 'x';
  return Float64Array.from(logits, (logit) => interpret(expression, algebra, logit));
}

/** -log softmax(logits)[target] per row; a target of -1 gives 0. */
export const crossEntropy = (h: Floats, head: Head, targets: Int32Array): Float32Array =>
  Float32Array.from(targets, (target, row) => {
    if (target < 0) return 0;
    const logits = logitsOf(h, row, head);
    const [most, total] = largestAndSum(logits);
    return most + Math.log(total) - logits[target];
  });

/** The largest logit, and the sum of exp(logit - largest). */
function largestAndSum(logits: Float64Array): [most: number, total: number] {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  return [most, logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0)];
}

function logProbabilities(logits: Float64Array): Float64Array {
  const [most, total] = largestAndSum(logits);
  return logits.map((logit) => logit - most - Math.log(total));
}

/** sum_v p log(p / q) per row, p and q the softmax of the head's logits of reference and h. */
export const divergence = (reference: Floats, h: Floats, head: Head): Float32Array =>
  Float32Array.from({ length: h.shape[0] }, (_, row) => {
    const [p, q] = [reference, h].map((x) => logProbabilities(logitsOf(x, row, head)));
    return p.reduce((sum, logP, v) => sum + Math.exp(logP) * (logP - q[v]), 0);
  });

/** Sum over rows of cos(a_row, b_row), norms floored at 1e-8 as torch does. */
export function cosineSum(a: Floats, b: Floats): number {
  let sum = 0;
  for (let r = 0; r < a.shape[0]; r++) {
    const [left, right] = [rowOf(a, r), rowOf(b, r)];
    const norm = (x: Float32Array): number => Math.max(Math.sqrt(dot(x, x)), 1e-8);
    sum += dot(left, right) / (norm(left) * norm(right));
  }
  return sum;
}

export const asRows = (values: Float32Array, rows: number): Floats =>
  view({ storage: { values } as never, shape: [rows, values.length / Math.max(rows, 1)] });
