import type { BenchReport, BenchResult } from './benchmark.js';
import type { Comparison } from './compareResults.js';

const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const mebibytes = (bytes: number): string => `${digits(bytes / 2 ** 20)} MiB`;
const kibibytes = (bytes: number): string => `${digits(bytes / 1024)} KiB`;
const times = (ratio: number): string => `${ratio.toFixed(2)}x`;

/** Rows in Markdown; columns of numbers lie to the right. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[], texts: number): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i < texts ? '---' : '---:'))), ...rows.map(line)];
}

/** The table of llama-bench, and what dropping gives beside what it can give. */
export function benchMarkdown(report: BenchReport): string[] {
  const { results, variants } = report;
  const several = variants.length > 1;
  const row = (r: BenchResult): string[] => [
    r.variant,
    r.test,
    String(r.batch),
    `${digits(r.tokensPerSecond.median)} ± ${digits(r.tokensPerSecond.deviation)}`,
    ...(several ? [times(r.speedup), times(r.bound.speedup), r.bound.reached.toFixed(2)] : []),
    kibibytes(r.kvBytesPerToken),
    mebibytes(r.peakBytes),
    mebibytes(r.residentBytes),
  ];
  const head = [
    'variant',
    'test',
    'batch',
    'tokens/s',
    ...(several ? ['speedup', 'bound', 'reached'] : []),
    'KV a token',
    'peak',
    'resident',
  ];
  return [
    ...markdownTable(head, results.map(row), 2),
    '',
    `${report.model} on ${report.backend} (${report.tier}), ${report.threads} ${report.threads === 1 ? 'thread' : 'threads'}, ${report.kv} cache; ` +
      `${report.processor} (${report.instructionSets.join(', ') || 'instruction sets unknown'}), Node ${report.node}, ${report.date}`,
    `Medians ± sample deviations of ${report.repeats} samples, taken in turns${several ? '' : ' over the tests'}; without ${report.excluded.join(', ')}.`,
    ...(several
      ? [
          `Speedup over '${variants[0].name}'. Bound: how much faster the work saved allows, in bytes read for tg, in operations for pp.`,
        ]
      : []),
  ];
}

export function benchCsv(report: BenchReport): string[] {
  const head = [
    'model',
    'backend',
    'tier',
    'threads',
    'processor',
    'node',
    'date',
    'kv',
    'variant',
    'test',
    'batch',
    'median',
    'mean',
    'deviation',
    'speedup',
    'bound',
    'reached',
    'kv_bytes_per_token',
    'peak_bytes',
    'resident_bytes',
    'samples',
  ];
  const rows = report.results.map((r) => [
    report.model,
    report.backend,
    report.tier,
    report.threads,
    report.processor,
    report.node,
    report.date,
    report.kv,
    r.variant,
    r.test,
    r.batch,
    r.tokensPerSecond.median,
    r.tokensPerSecond.mean,
    r.tokensPerSecond.deviation,
    r.speedup,
    r.bound.speedup,
    r.bound.reached,
    r.kvBytesPerToken,
    r.peakBytes,
    r.residentBytes,
    r.tokensPerSecond.samples.join(' '),
  ]);
  return [head, ...rows].map((row) => row.map(csvCell).join(','));
}

/** Quoted where a comma, quote or line end demands it (RFC 4180). */
const csvCell = (value: string | number): string => {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
};

export function comparisonMarkdown(comparisons: readonly Comparison[]): string[] {
  if (comparisons.length === 0) return ['No test of the other report is in this one.'];
  const row = (c: Comparison): string[] => [
    c.variant,
    c.test,
    String(c.batch),
    digits(c.before),
    digits(c.after),
    `${c.ratio.toFixed(3)} ± ${c.noise.toFixed(3)}`,
    c.verdict,
  ];
  return markdownTable(
    ['variant', 'test', 'batch', 'before', 'after', 'after / before', 'verdict'],
    comparisons.map(row),
    2,
  );
}
