import type { DropRecord, ExpertReport, LossReport } from '../drop/index.js';
import { calibrationWords } from '../text/index.js';
import { describeCompensation } from './compensationText.js';
import { facts, table } from './table.js';
import { formatBytes, formatCount, formatDifference, formatLayers, formatSaving } from './units.js';

/** A drop's report for people. */
export function describeDrop(result: DropRecord & { out: string; configOnly: boolean }): string[] {
  const { drop, keep, experts, before, after, loss, compensation, out, configOnly } = result;
  const row = (name: string, was: number, is: number, format: (n: number) => string): string[] => [
    name,
    format(was),
    format(is),
    formatSaving(was, is),
  ];
  return [
    ...(experts ? describeExperts(experts) : []),
    ...facts([
      ['attention', `drop = ${formatLayers(drop.attention)}`],
      ['', `keep = ${formatLayers(keep.attention)}`],
      ['MLP', `drop = ${formatLayers(drop.mlp)}`],
      ['', `keep = ${formatLayers(keep.mlp)}`],
      ['chosen by', describeMethod(result)],
    ]),
    '',
    ...table([
      ['', 'before', 'after', 'saved'],
      row('parameters', before.parameters, after.parameters, formatCount),
      row('weights', before.bytes, after.bytes, formatBytes),
      row('key-value bytes a token', before.kvBytesPerToken, after.kvBytesPerToken, formatBytes),
    ]),
    '',
    ...(compensation ? describeCompensation(compensation) : loss ? [describeLoss(loss), ''] : []),
    configOnly ? `${out}: configuration only; lay it over the original folder` : `${out}: written`,
  ];
}

/** How many experts went, and which, layer by layer. */
function describeExperts({ before, after, drop }: ExpertReport): string[] {
  const layers = drop.flatMap((gone, layer) =>
    gone ? [[`layer ${layer}`, `drop = ${formatLayers(gone)}`] as const] : [],
  );
  return [`${before - after} of ${before} experts of each layer are dropped`, ...facts(layers), ''];
}

/** `cosine scores in 2 rounds, on 256 rows of 2048 tokens` */
function describeMethod({ method, metric, search, iterations, compat, seed, calibration }: DropRecord): string {
  const scores = metric === 'random' ? `chance (seed ${seed})` : `${metric} scores`;
  const way = {
    lists: 'name',
    scores,
    consecutive: `${scores} of windows of blocks${compat ? `, as ${compat} reads them` : ''}`,
    iterative: `${scores} in ${iterations} rounds`,
    greedy: `a greedy search for the least ${search === 'greedy-loss' ? 'loss' : 'KL divergence'}`,
  }[method];
  return calibration ? `${way}, on ${calibrationWords(calibration)}` : way;
}

const describeLoss = ({ rows, before, after, difference, standardError }: LossReport): string =>
  `loss on ${rows} held-out rows: ${before.toFixed(4)} before, ${after.toFixed(4)} after, ${formatDifference(difference, standardError)}`;
