import type { DropReport, LossReport } from '../drop/index.js';
import { facts, table } from './table.js';
import { formatBytes, formatCount, formatLayers, formatSaving } from './units.js';

/** A drop's report for people. */
export function describeDrop({
  drop,
  keep,
  before,
  after,
  loss,
  out,
  configOnly,
}: DropReport & { out: string; configOnly: boolean }): string[] {
  const row = (name: string, was: number, is: number, format: (n: number) => string): string[] => [
    name,
    format(was),
    format(is),
    formatSaving(was, is),
  ];
  return [
    ...facts([
      ['attention', `drop = ${formatLayers(drop.attention)}`],
      ['', `keep = ${formatLayers(keep.attention)}`],
      ['MLP', `drop = ${formatLayers(drop.mlp)}`],
      ['', `keep = ${formatLayers(keep.mlp)}`],
    ]),
    '',
    ...table([
      ['', 'before', 'after', 'saved'],
      row('parameters', before.parameters, after.parameters, formatCount),
      row('weights', before.bytes, after.bytes, formatBytes),
      row('key-value bytes a token', before.kvBytesPerToken, after.kvBytesPerToken, formatBytes),
    ]),
    '',
    ...(loss ? [describeLoss(loss), ''] : []),
    configOnly ? `${out}: configuration only; lay it over the original folder` : `${out}: written`,
  ];
}

const describeLoss = ({ rows, before, after, difference, standardError }: LossReport): string =>
  `loss on ${rows} held-out rows: ${before.toFixed(4)} before, ${after.toFixed(4)} after, ${formatDifference(difference, standardError)}`;

/** +0.0123 ± 0.0045: a paired difference and its standard error, where there is one. */
export const formatDifference = (difference: number, standardError: number): string =>
  `${difference < 0 ? '' : '+'}${difference.toFixed(4)}${Number.isFinite(standardError) ? ` ± ${standardError.toFixed(4)}` : ''}`;
