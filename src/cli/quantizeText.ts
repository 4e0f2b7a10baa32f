import type { QuantizeResult } from '../jobs/index.js';
import { calibrationWords } from '../text/index.js';
import type { ProjectionResult } from '../quant/index.js';
import { facts, table } from './table.js';
import { formatBytes, formatLayers, formatSaving } from './units.js';

/** What came of a quantization, for people. */
export function describeQuantization(result: QuantizeResult): string[] {
  const { method, format, groupSize, symmetric, drop, bitsPerWeight, bytes, losses, out, calibration } = result;
  return [
    ...facts([
      ['method', calibration ? `${method}, on ${calibrationWords(calibration)}` : method],
      [
        'format',
        `${format}, ${groupSize === -1 ? 'rows' : `groups of ${groupSize}`}, ${symmetric ? 'symmetric' : 'with zero points'}`,
      ],
      ['dropped', `attention = ${formatLayers(drop.attention)}, mlp = ${formatLayers(drop.mlp)}`],
      ['bits', `${bitsPerWeight.toFixed(3)} an int4 weight, with scales`],
      [
        'weights',
        `${formatBytes(bytes.before)} -> ${formatBytes(bytes.after)} (-${formatSaving(bytes.before, bytes.after)})`,
      ],
      ...losses.map(({ name, before, after, difference, standardError, rows }): [string, string] => [
        `loss (${name})`,
        `${before.toFixed(4)} -> ${after.toFixed(4)}, by row ${signed(difference)}${standardError === null ? '' : ` ± ${standardError.toFixed(4)}`} (${rows} rows)`,
      ]),
    ]),
    '',
    `error of the ${result.projections.some(({ outputError }) => outputError !== undefined) ? 'outputs' : 'weights'}, squared, in percent`,
    ...errorTable(result.projections),
    '',
    `${out}: written`,
  ];
}

const signed = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(4)}`;

/** A line a layer, a column a projection; of experts the mean. */
function errorTable(projections: readonly ProjectionResult[]): string[] {
  const paths = [...new Set(projections.map(({ path }) => path))].sort(inRunningOrder);
  const layers = [...new Set(projections.map(({ layer }) => layer))];
  const key = (layer: number | null, path: string): string => `${layer} ${path}`;
  const results = new Map<string, ProjectionResult[]>();
  for (const one of projections)
    results.set(key(one.layer, one.path), [...(results.get(key(one.layer, one.path)) ?? []), one]);
  const cell = (layer: number | null, path: string): string => {
    const of = results.get(key(layer, path)) ?? [];
    if (of.length === 0) return '';
    const errors = of.map(({ outputError, weightError }) => outputError ?? weightError);
    return ((100 * errors.reduce((a, b) => a + b, 0)) / errors.length).toPrecision(3);
  };
  return table([
    ['layer', ...paths.map((path) => columnName(path, paths))],
    ...layers.map((layer) => [String(layer), ...paths.map((path) => cell(layer, path))]),
  ]);
}

/** The projection alone, where no other part of a layer has one of this name. */
const columnName = (path: string, paths: readonly string[]): string => {
  const [, ...names] = path.split('.');
  const last = names.at(-1)!;
  return paths.some((other) => other !== path && other.endsWith(`.${last}`)) ? names.join('.') : last;
};

const order = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];
const inRunningOrder = (a: string, b: string): number =>
  order.indexOf(a.split('.').at(-1)!) - order.indexOf(b.split('.').at(-1)!);
