import type { Importance } from '../drop/index.js';
import { barChart } from './barChart.js';
import { formatCount } from './units.js';

/** The chart of what enters and leaves each module. */
export function describeScores(
  { metric, similarity, samples, length, tokens, spread }: Importance,
  width: number,
): string[] {
  const { attention, mlp, block } = similarity;
  const scored =
    metric === 'gate-norm'
      ? 'gate-norm: how weakly queries and keys are coupled, from the weights;'
      : `${metric === 'cosine' ? 'similarity' : metric} of what enters and what leaves, over ${formatCount(tokens)} tokens (${samples} rows of ${length}${spread ? ', from all over the text' : ''});`;
  return [
    scored,
    'the longer the bar, the more redundant',
    ...barChart(
      [
        { name: 'attention', values: attention },
        { name: 'MLP', values: mlp },
        { name: 'block', values: block },
      ],
      { width },
    ),
  ];
}
