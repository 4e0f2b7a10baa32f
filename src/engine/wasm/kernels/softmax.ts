import { choose, constant, type Float, type Int, type Value } from '../language.js';
import { kernel, kernelModule, type Kernel } from '../kernel.js';
import { each, maximum, sum } from '../loops.js';
import { exp, tanh } from './exp.js';

/**
 * `count` scores of attention to weights, in place: scaled and softly capped (where `softCap` is not 0), less the largest,
 * exponentiated. Their largest score, and the sum of their weights.
 */
export function weigh(
  k: Kernel,
  scores: Int,
  count: Int,
  scale: Value<'f32'>,
  softCap: Value<'f32'>,
): { readonly most: Value<'f32'>; readonly total: Value<'f32'> } {
  const most = k.let(constant('f32', 0));
  const scaled = (transform: (score: Float) => Float): void =>
    most.set(
      maximum(k, count, [scores], (at) => {
        const score = k.let(transform(at.load().times(scale)));
        at.store(score);
        return score;
      }),
    );
  k.if(
    softCap.greater(0),
    () => scaled((score) => tanh(k, score.over(softCap)).times(softCap)),
    () => scaled((score) => score),
  );
  const total = sum(k, count, [scores], (at) => {
    const term = k.let(exp(k, at.load().minus(most)));
    at.store(term);
    return term;
  });
  return { most, total };
}

export const softmax = kernelModule('softmax', () => ({
  /** y[r] = exp(x[r] - max) / sum, rows of `width` floats; y may be x. */
  softmax: kernel({ x: 'i32', y: 'i32', rows: 'i32', width: 'i32' }, (k, { x, y, rows, width }) =>
    k.repeat(rows, () => {
      const most = maximum(k, width, [x], (at) => at.load());
      const total = sum(k, width, [x, y], (from, to) => {
        const term = k.let(exp(k, from.load().minus(most)));
        to.store(term);
        return term;
      });
      const inverse = k.let(constant('f32', 1).over(total));
      each(k, width, [y], (at) => at.store(at.load().times(inverse)));
      x.add(width.times(4));
      y.add(width.times(4));
    }),
  ),

  /**
   * Scores of attention to weights, in place: rows of `width` columns, column 0 being key `firstKey`; row r is the query
   * at position + r / group and sees itself and the `window` - 1 keys before. Unnormalised: 1 / sum goes to `inverses`.
   */
  causalWeights: kernel(
    {
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
    },
    (k, { scores, inverses, rows, width, group, position, firstKey, window, scale, softCap }) =>
      k.for(0, rows, 1, (row) => {
        const end = k.let(position.plus(row.over(group)).plus(1));
        const begin = k.let(choose(end.greater(window), end.minus(window), 0).max(firstKey));
        const seen = k.let(end.minus(begin));
        const start = k.let(scores.plus(begin.minus(firstKey).shiftLeft(2)));
        const { total } = weigh(k, start, seen, scale, softCap);
        const clear = (from: Int, count: Int): void => each(k, count, [from], (at) => at.store(constant(at.kind, 0)));
        clear(scores, begin.minus(firstKey));
        clear(start.plus(seen.shiftLeft(2)), width.plus(firstKey).minus(end));
        k.store(inverses, constant('f32', 1).over(total));
        inverses.add(4);
        scores.add(width.times(4));
      }),
  ),
}));
