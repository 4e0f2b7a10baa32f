import type { MeasuredModel, SweepPoint, SweepResult } from '../drop/index.js';
import { curveChart } from './curveChart.js';
import { table } from './table.js';
import { formatBytes, formatCount, formatDifference, formatRate } from './units.js';

type Cells = readonly string[];

/** One table for terminals and Markdown: the whole model first. */
function cells({ whole, points }: SweepResult): Cells[] {
  const texts = whole.texts.length > 1 ? whole.texts.map(({ name }) => `loss on ${name}`) : [];
  const head = ['target', 'count', 'loss', 'more', 'perplexity', 'KL', 'top-1', ...texts];
  const costs = ['parameters', 'weights', 'KV a token', 'tokens/s', 'speedup'];
  return [[...head, ...costs], row('whole', whole), ...points.map((point) => row(point.target, point))];
}

function row(name: string, model: MeasuredModel | SweepPoint): Cells {
  const point = 'count' in model ? model : undefined;
  const { texts, tokensPerSecond } = model;
  return [
    name,
    point ? String(point.count) : '0',
    model.loss.toFixed(4),
    point ? formatDifference(point.difference, point.standardError) : '',
    model.perplexity.toPrecision(5),
    model.divergence.toFixed(4),
    `${(100 * model.agreement).toFixed(1)}%`,
    ...(texts.length > 1 ? texts.map(({ loss }) => loss.toFixed(4)) : []),
    formatCount(model.parameters),
    formatBytes(model.bytes),
    formatBytes(model.kvBytesPerToken),
    tokensPerSecond === null ? '' : formatRate(tokensPerSecond),
    point?.speedup ? `${point.speedup.toFixed(2)}x` : '',
  ];
}

/** For a terminal: the table, and the loss as a picture. */
export function sweepText(result: SweepResult, width: number): string[] {
  const { whole, points } = result;
  const counts = [0, ...new Set(points.map(({ count }) => count))].sort((a, b) => a - b);
  const targets = [...new Set(points.map(({ target }) => target))];
  const curves = targets.map((target) => ({
    name: target,
    values: counts.map((count) =>
      count === 0 ? whole.loss : (points.find((p) => p.target === target && p.count === count)?.loss ?? null),
    ),
  }));
  return [
    ...table(cells(result)),
    '',
    'loss, in nats a token:',
    ...curveChart(counts, curves, { width }),
    '',
    ...dropLists(points).map(([name, lists]) => `${name}: ${lists}`),
  ];
}

export function sweepMarkdown(result: SweepResult): string[] {
  const [head, ...rows] = cells(result);
  const line = (entries: Cells): string => `| ${entries.join(' | ')} |`;
  return [
    line(head),
    line(head.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
    'Loss in nats a token, with its difference from the whole model (± standard error, paired over the rows); KL divergence from the whole model in nats; top-1 is the share of positions with the same likeliest token.',
    '',
    ...dropLists(result.points).map(([name, lists]) => `- ${name}: ${lists}`),
  ];
}

const dropLists = (points: readonly SweepPoint[]): [name: string, lists: string][] =>
  points.map(({ target, count, drops }) => [
    `${target} ${count}`,
    `attention = [${drops.attention.join(', ')}], mlp = [${drops.mlp.join(', ')}]`,
  ]);

export function sweepCsv({ whole, points }: SweepResult): string[] {
  const head = [
    ...['target', 'count', 'drop_attn', 'drop_mlp', 'loss', 'difference', 'standard_error', 'perplexity', 'kl', 'top1'],
    ...whole.texts.flatMap(({ name }) => [`loss ${name}`, `kl ${name}`, `top1 ${name}`]),
    ...['parameters', 'bytes', 'kv_bytes_per_token', 'tokens_per_second', 'speedup'],
  ];
  const line = (target: string, model: MeasuredModel & Partial<SweepPoint>): (string | number | null | undefined)[] => [
    ...[target, model.count ?? 0, model.drops.attention.join(' '), model.drops.mlp.join(' ')],
    ...[model.loss, model.difference, model.standardError, model.perplexity, model.divergence, model.agreement],
    ...model.texts.flatMap(({ loss, divergence, agreement }) => [loss, divergence, agreement]),
    ...[model.parameters, model.bytes, model.kvBytesPerToken, model.tokensPerSecond, model.speedup],
  ];
  return [head, line('whole', whole), ...points.map((point) => line(point.target, point))].map((entries) =>
    entries.map(csvCell).join(','),
  );
}

/** Quoted where a comma, quote or line end demands it (RFC 4180). */
const csvCell = (value: string | number | null | undefined): string => {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
};
