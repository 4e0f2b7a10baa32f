import type { ExpertWork, ExpertWorks, Importance } from '../drop/index.js';
import { barChart } from './barChart.js';
import { table } from './table.js';
import { formatCount } from './units.js';

/** The chart of what enters and leaves each module. */
export function describeScores(importance: Importance, width: number): string[] {
  const { metric, similarity, samples, length, tokens, experts, spread } = importance;
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
    ...(experts?.some((works) => works) ? ['', ...describeVisits(experts, tokens, width)] : []),
  ];
}

/** How often each expert was visited; where that is too wide, the least and the most. */
function describeVisits(experts: ExpertWorks, tokens: number, width: number): string[] {
  const layers = experts.flatMap((works, layer) => (works ? [{ layer, shares: works.map(shareOf(tokens)) }] : []));
  const most = Math.max(...layers.map(({ shares }) => shares.length));
  const each = table([
    ['layer', ...Array.from({ length: most }, (_, expert) => String(expert))],
    ...layers.map(({ layer, shares }) => [String(layer), ...shares.map(percent)]),
  ]);
  if (each[0].length <= width) return ['tokens that visit each expert, in percent', ...each];
  const at = (sorted: readonly number[], share: number): string =>
    percent(sorted[Math.floor(share * (sorted.length - 1))]);
  return [
    `tokens that visit an expert, of ${most}, in percent (--json has each)`,
    ...table([
      ['layer', 'never visited', 'least', 'median', 'most'],
      ...layers.map(({ layer, shares }) => {
        const sorted = [...shares].sort((a, b) => a - b);
        const idle = sorted.filter((share) => share === 0).length;
        return [layer, idle, at(sorted, 0), at(sorted, 0.5), at(sorted, 1)].map(String);
      }),
    ]),
  ];
}

const shareOf =
  (tokens: number) =>
  ({ visits }: ExpertWork): number =>
    visits / tokens;
const percent = (share: number): string => (100 * share).toFixed(1);
