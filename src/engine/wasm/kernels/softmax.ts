import { choose, constant, load, type Float, type Int } from '../language.js';
import { kernel, kernelModule } from '../kernel.js';
import { each, maximum, sum } from '../loops.js';
import { exp, tanh } from './exp.js';

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
    { scores: 'i32', inverses: 'i32', rows: 'i32', width: 'i32', group: 'i32', position: 'i32', firstKey: 'i32', window: 'i32', scale: 'f32', softCap: 'f32' },
    (k, { scores, inverses, rows, width, group, position, firstKey, window, scale, softCap }) =>
      k.for(0, rows, 1, (row) => {
        const end = k.let(position.plus(row.over(group)).plus(1));
        const begin = k.let(choose(end.greater(window), end.minus(window), 0).max(firstKey));
        const seen = k.let(end.minus(begin));
        const start = k.let(scores.plus(begin.minus(firstKey).shiftLeft(2)));
        const most = k.let(constant('f32', 0));
        const scaled = (transform: (score: Float) => Float): void =>
          most.set(
            maximum(k, seen, [start], (at) => {
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
        const total = sum(k, seen, [start], (at) => {
          const term = k.let(exp(k, at.load().minus(most)));
          at.store(term);
          return term;
        });
        const clear = (from: Int, count: Int): void => each(k, count, [from], (at) => at.store(constant(at.kind, 0)));
        clear(scores, begin.minus(firstKey));
        clear(start.plus(seen.shiftLeft(2)), width.plus(firstKey).minus(end));
        k.store(inverses, constant('f32', 1).over(total));
        inverses.add(4);
        scores.add(width.times(4));
      }),
  ),
}));

export const crossEntropy = kernelModule('crossEntropy', () => ({
  /**
   * Takes `columns` more logits of each row into its running maximum (float32) and sum of exp(logit - maximum)
   * (float64). Rows of logits lie `columns` floats apart.
   */
  accumulate: kernel({ logits: 'i32', maxima: 'i32', sums: 'i32', rows: 'i32', columns: 'i32' }, (k, { logits, maxima, sums, rows, columns }) =>
    k.repeat(rows, () => {
      const before = k.let(load.f32(maxima));
      const most = k.let(maximum(k, columns, [logits], (at) => at.load()).max(before));
      const terms = sum(k, columns, [logits], (at) => exp(k, at.load().minus(most)));
      const shrink = k.let(exp(k, before.minus(most) as Float)).promoted();
      k.store(sums, load.f64(sums).times(shrink as ReturnType<typeof load.f64>).plus(terms.promoted() as ReturnType<typeof load.f64>));
      k.store(maxima, most);
      logits.add(columns.times(4));
      maxima.add(4);
      sums.add(8);
    }),
  ),

  /**
   * Of rows of `columns` logits, P and Q their exponentials less the largest: y[r] = sum(P (p - max p - q + max q)) /
   * sum(P), and ratios[r] = sum(Q) / sum(P). KL(softmax(p) || softmax(q)) = y + log(ratio).
   */
  divergence: kernel({ p: 'i32', q: 'i32', y: 'i32', ratios: 'i32', rows: 'i32', columns: 'i32' }, (k, { p, q, y, ratios, rows, columns }) =>
    k.repeat(rows, () => {
      const [mostP, mostQ] = [p, q].map((logits) => maximum(k, columns, [logits], (at) => at.load()));
      const [sumP, sumQ] = [k.let(constant('f32', 0)), k.let(constant('f32', 0))];
      sumP.set(sum(k, columns, [p], (at) => exp(k, at.load().minus(mostP))));
      sumQ.set(sum(k, columns, [q], (at) => exp(k, at.load().minus(mostQ))));
      // Differences to the maxima, so that nothing large cancels.
      const mean = sum(k, columns, [p, q], (a, b) => {
        const shifted = k.let(a.load().minus(mostP));
        return exp(k, shifted).times(shifted.minus(b.load().minus(mostQ)));
      });
      k.store(y, mean.over(sumP));
      k.store(ratios, sumQ.over(sumP));
      for (const at of [p, q]) at.add(columns.times(4));
      for (const at of [y, ratios]) at.add(4);
    }),
  ),
}));
