import { fusibleModule, kernel, type Kernel, type Locals } from '../compiler/kernel.js';
import { choose, constant, floatsOf, load, type Float, type Int, type Value } from '../compiler/language.js';
import { each, element, maximum, sum, type Cursor } from '../compiler/loops.js';
import { exponential, tanh, type Exponential } from './exp.js';

/** What grows with the distance from query to key: `slope` times it, the first key being `first` (0 or less) away. */
export interface Slope {
  readonly slope: Value<'f32'>;
  readonly first: Int;
}

/** slope * distance of the keys that a loop stands at, for a loop that goes over them in order. */
function slopes(k: Kernel, { slope, first }: Slope): (at: Cursor) => Float {
  const distance = k.let(first.toFloat());
  return ({ kind }) => {
    const here: Float = kind === 'f32' ? distance : floatsOf(0, 1, 2, 3).plus(distance);
    const bias = k.let(here.times(slope));
    distance.add(kind === 'f32' ? 1 : 4);
    return bias;
  };
}

/**
 * Scores of attention to weights, in place: `count` of them after `skipped` others (fewer than 8), scaled, sloped where
 * `sloped` says so and softly capped (where `softCap` is not 0), less the largest, exponentiated. Around them, up to
 * whole steps of 8 from `scores` on, weights are 0, so that no exponential is computed alone. They are kept times
 * `unit`. Gives their largest score, the sum of their weights, and how far the steps reach.
 */
export function weigh(
  k: Kernel,
  exp: Exponential,
  scores: Int,
  skipped: Int,
  count: Int,
  scale: Value<'f32'>,
  softCap: Value<'f32'>,
  unit = 1,
  sloped?: Slope,
): { readonly most: Value<'f32'>; readonly total: Value<'f32'>; readonly width: Int } {
  const most = k.let(constant('f32', 0));
  const first = k.let(element(scores, skipped));
  const scaled = (transform: (score: Float) => Float): void => {
    const bias = sloped && slopes(k, sloped);
    most.set(
      maximum(k, count, [first], (at) => {
        const product = at.load().times(scale);
        const score = k.let(transform(bias ? product.plus(bias(at)) : product));
        at.store(score);
        return score;
      }),
    );
  };
  k.if(
    softCap.greater(0),
    () => scaled((score) => tanh(exp, score.over(softCap)).times(softCap)),
    () => scaled((score) => score),
  );
  const end = k.let(skipped.plus(count));
  const width = k.let(end.plus(7).and(-8));
  const hide = (from: Int, to: Int): void =>
    k.for(from, to, 1, (at) => k.store(element(scores, at), constant('f32', -Infinity)));
  hide(constant('i32', 0), skipped);
  hide(end, width);
  const total = sum(k, width, [scores], (at) => {
    const term = k.let(exp(at.load().minus(most)));
    at.store(unit === 1 ? term : term.times(unit));
    return term;
  });
  return { most, total, width };
}

const causalParameters = {
  scores: 'i32',
  inverses: 'i32',
  rows: 'i32',
  width: 'i32',
  group: 'i32',
  position: 'i32',
  firstKey: 'i32',
  window: 'i32',
  scale: 'f32',
  softCap: 'f32',
} as const;

/**
 * Turns scores of attention into weights, in place: rows of `width` columns, column 0 being key `firstKey`. Row r is
 * the query at position + r / group, which sees itself and the `window` - 1 keys before. Weights are not normalised: 1
 * / sum goes to `inverses`.
 */
function emitCausalWeights(
  k: Kernel,
  fused: boolean,
  { scores, inverses, rows, width, group, position, firstKey, window, scale, softCap }: Locals<typeof causalParameters>,
  slopes?: Int,
): void {
  const exp = exponential(k, fused);
  k.for(0, rows, 1, (row) => {
    const end = k.let(position.plus(row.over(group)).plus(1));
    const begin = k.let(choose(end.greater(window), end.minus(window), 0).max(firstKey));
    const before = k.let(begin.minus(firstKey).and(-8));
    const start = k.let(element(scores, before));
    const sloped = slopes && {
      slope: k.let(load.f32(element(slopes, row.remainder(group)))),
      first: begin.plus(1).minus(end),
    };
    const seen = end.minus(begin);
    const weights = weigh(k, exp, start, begin.minus(firstKey).and(7), seen, scale, softCap, 1, sloped);
    const clear = (from: Int, count: Int): void => each(k, count, [from], (at) => at.store(constant(at.kind, 0)));
    clear(scores, before);
    clear(element(start, weights.width), width.minus(before).minus(weights.width));
    k.store(inverses, constant('f32', 1).over(weights.total));
    inverses.add(4);
    scores.add(width.times(4));
  });
}

export const softmax = fusibleModule('softmax', (fused) => ({
  /** y[r] = exp(x[r] - max) / sum, rows of `width` floats; y may be x. */
  softmax: kernel({ x: 'i32', y: 'i32', rows: 'i32', width: 'i32' }, (k, { x, y, rows, width }) => {
    const exp = exponential(k, fused);
    k.repeat(rows, () => {
      const most = maximum(k, width, [x], (at) => at.load());
      const total = sum(k, width, [x, y], (from, to) => {
        const term = k.let(exp(from.load().minus(most)));
        to.store(term);
        return term;
      });
      const inverse = k.let(constant('f32', 1).over(total));
      each(k, width, [y], (at) => at.store(at.load().times(inverse)));
      x.add(width.times(4));
      y.add(width.times(4));
    });
  }),

  causalWeights: kernel(causalParameters, (k, p) => emitCausalWeights(k, fused, p)),
}));

/** The same for attention with slopes: a float for each of a group's heads. */
export const slopedSoftmax = fusibleModule('slopedSoftmax', (fused) => ({
  causalWeights: kernel({ ...causalParameters, slopes: 'i32' }, (k, p) => emitCausalWeights(k, fused, p, p.slopes)),
}));
