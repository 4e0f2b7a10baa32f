import type { CompressResult } from '../compress/index.js';
import { facts, table } from './table.js';
import { formatBytes, formatCount, formatDifference, formatLayers } from './units.js';

/** What came of a recipe, stage by stage, for people. */
export function describeCompression({ drop, experts, stages, exports, out }: CompressResult): string[] {
  const { rows } = stages[0];
  const models = stages.map(({ stage, loss, difference, standardError, parameters, bytes, bitsPerWeight }) => [
    stage,
    loss === null ? '' : loss.toFixed(4),
    difference === null ? '' : formatDifference(difference, standardError),
    formatCount(parameters),
    formatBytes(bytes),
    bitsPerWeight.toFixed(2),
  ]);
  return [
    ...facts([
      ...(experts
        ? [['experts', `${experts.before - experts.after} of ${experts.before} of each layer dropped`] as const]
        : []),
      ['attention', `drop = ${formatLayers(drop.attention)}`],
      ['MLP', `drop = ${formatLayers(drop.mlp)}`],
    ]),
    '',
    ...table([['', 'loss', 'by the stage', 'parameters', 'weights', 'bits each'], ...models]),
    ...(rows
      ? ['', `losses in nats a token, on ${rows} held-out rows`]
      : ['', 'no loss is measured without calibration']),
    '',
    ...exports.map(
      ({ out: file, type, bytes, proof }) =>
        `${out}/${file}: ${type}, ${formatBytes(bytes)}; logits within ${proof.largestDifference.toPrecision(2)} of the model's`,
    ),
    `${out}: written, with recipe.json to make it again`,
  ];
}
