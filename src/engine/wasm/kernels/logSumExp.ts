import { fusibleModule, kernel } from '../compiler/kernel.js';
import { constant, load, type Float, type Value } from '../compiler/language.js';
import { maximum, sum } from '../compiler/loops.js';
import { exponential } from './exp.js';

export const crossEntropy = fusibleModule('crossEntropy', (fused) => ({
  /**
   * Takes `columns` more logits of each row into its running maximum (float32) and sum of exp(logit - maximum)
   * (float64). Rows of logits lie `columns` floats apart.
   */
  accumulate: kernel(
    { logits: 'i32', maxima: 'i32', sums: 'i32', rows: 'i32', columns: 'i32' },
    (k, { logits, maxima, sums, rows, columns }) => {
      const exp = exponential(k, fused);
      k.repeat(rows, () => {
        const before = k.let(load.f32(maxima));
        const most = k.let(maximum(k, columns, [logits], (at) => at.load()).max(before));
        const terms = sum(k, columns, [logits], (at) => exp(at.load().minus(most)));
        const shrink = k.let(exp(before.minus(most) as Float) as Value<'f32'>);
        k.store(sums, load.f64(sums).times(shrink.promoted()).plus(terms.promoted()));
        k.store(maxima, most);
        logits.add(columns.times(4));
        maxima.add(4);
        sums.add(8);
      });
    },
  ),

  /**
   * For rows of `columns` logits p and q, with P = exp(p - max p) and Q = exp(q - max q): y[r] = sum(P (p - max p - q +
   * max q)) / sum(P), and ratios[r] = sum(Q) / sum(P). KL(softmax(p) || softmax(q)) = y + log(ratio).
   */
  divergence: kernel(
    { p: 'i32', q: 'i32', y: 'i32', ratios: 'i32', rows: 'i32', columns: 'i32' },
    (k, { p, q, y, ratios, rows, columns }) => {
      const exp = exponential(k, fused);
      k.repeat(rows, () => {
        const [mostP, mostQ] = [p, q].map((logits) => maximum(k, columns, [logits], (at) => at.load()));
        const [sumP, sumQ] = [k.let(constant('f32', 0)), k.let(constant('f32', 0))];
        sumP.set(sum(k, columns, [p], (at) => exp(at.load().minus(mostP))));
        sumQ.set(sum(k, columns, [q], (at) => exp(at.load().minus(mostQ))));
        // Differences from the maxima, so that no two large numbers are subtracted.
        const mean = sum(k, columns, [p, q], (a, b) => {
          const shifted = k.let(a.load().minus(mostP));
          return exp(shifted).times(shifted.minus(b.load().minus(mostQ)));
        });
        k.store(y, mean.over(sumP));
        k.store(ratios, sumQ.over(sumP));
        for (const at of [p, q]) at.add(columns.times(4));
        for (const at of [y, ratios]) at.add(4);
      });
    },
  ),
}));
