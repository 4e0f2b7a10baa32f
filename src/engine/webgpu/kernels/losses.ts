/** Losses of rows of logits, each a workgroup's. `expression` scales and caps a logit. */
import { mathematics, wgslOf } from '../compiler/algebra.js';
import { each, fold } from '../compiler/fold.js';
import { kernel, type Piece } from '../compiler/kernel.js';
import { textOf, type Expression } from '../../expression.js';
import { once } from './once.js';

const lanes = 64;

const pieces = (expression: Expression, ...names: readonly string[]): Piece[] => [
  mathematics,
  fold('most', 'largest', 'f32', lanes),
  fold('sum', 'total', 'f32', lanes),
  {
    code: names
      .map(
        (name) => `
fn ${name}Logit(at: u32) -> f32 { let x = ${name}[at]; return ${wgslOf(expression)}; }
/** The largest logit of a row, and the logarithm of the sum of exp(logit - largest). */
fn ${name}Total(row: u32, width: u32, lane: u32) -> vec2f {
  var own = -3.4e38;
  ${each('width', lanes, (i) => `own = max(own, ${name}Logit(row + ${i}));`)}
  let most = largest(own, lane);
  var sum = 0.0;
  ${each('width', lanes, (i) => `sum += exponential(${name}Logit(row + ${i}) - most);`)}
  return vec2f(most, log(total(sum, lane)));
}`,
      )
      .join('\n'),
  },
];

/** -log softmax(logits)[target]; 0 for a target of -1. */
export const crossEntropy = once(textOf, (expression: Expression) =>
  kernel(
    `crossEntropy ${textOf(expression)}`,
    {
      reads: { logits: 'f32', targets: 'i32' },
      writes: { losses: 'f32' },
      numbers: { width: 'u32', firstRow: 'u32' },
      lanes,
      pieces: pieces(expression, 'logits'),
    },
    `
  let row = group * width;
  let all = logitsTotal(row, width, lane);
  let wanted = targets[firstRow + group];
  if (lane == 0u) {
    losses[firstRow + group] = 0.0;
    if (wanted >= 0) { losses[firstRow + group] = all.x - logitsLogit(row + u32(wanted)) + all.y; }
  }`,
  ),
);

/** sum_v p log(p / q), p and q the softmax of two rows of logits. */
export const divergence = once(textOf, (expression: Expression) =>
  kernel(
    `divergence ${textOf(expression)}`,
    {
      reads: { p: 'f32', q: 'f32' },
      writes: { y: 'f32' },
      numbers: { width: 'u32', firstRow: 'u32' },
      lanes,
      pieces: pieces(expression, 'p', 'q'),
    },
    `
  let row = group * width;
  let ofP = pTotal(row, width, lane);
  let ofQ = qTotal(row, width, lane);
  var sum = 0.0;
  ${each('width', lanes, (i) => `{ let logP = pLogit(row + ${i}) - ofP.x - ofP.y; sum += exponential(logP) * (logP - (qLogit(row + ${i}) - ofQ.x - ofQ.y)); }`)}
  let all = total(sum, lane);
  if (lane == 0u) { y[firstRow + group] = all; }`,
  ),
);
