import type { BenchReport, BenchResult } from './benchReport.js';
import { parseTest } from './benchTest.js';
import type { Comparison } from './compareResults.js';
import type { Rates } from './rates.js';

const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const mebibytes = (bytes: number): string => `${digits(bytes / 2 ** 20)} MiB`;
const kibibytes = (bytes: number): string => `${digits(bytes / 1024)} KiB`;
const gigas = (rate: number): string => digits(rate / 1e9);
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
  const tokensOf = ({ test, batch }: BenchResult): number => parseTest(test, batch).tokens * batch;
  const row = (r: BenchResult): string[] => [
    r.variant,
    r.test,
    String(r.batch),
    `${digits(r.tokensPerSecond.median)} ± ${digits(r.tokensPerSecond.deviation)}`,
    ...(several
      ? [
          mebibytes(r.work.bytes / tokensOf(r)),
          digits(r.work.operations / tokensOf(r) / 1e6),
          times(r.speedup),
          times(r.bound.speedup),
          r.bound.reached.toFixed(2),
        ]
      : []),
    kibibytes(r.kvBytesPerToken),
    mebibytes(r.peakBytes),
    mebibytes(r.residentBytes),
  ];
  const head = [
    'variant',
    'test',
    'batch',
    'tokens/s',
    ...(several ? ['read a token', 'Mop a token', 'speedup', 'bound', 'reached'] : []),
    'KV a token',
    'peak',
    'resident',
  ];
  return [
    ...markdownTable(head, results.map(row), 2),
    '',
    `${report.model} on ${report.backend} (${report.tier}), ${report.threads} ${report.threads === 1 ? 'thread' : 'threads'}${deviceText(report)}, ${report.kv} cache; ` +
      `${report.processor} (${report.instructionSets.join(', ') || 'instruction sets unknown'}), Node ${report.node}, ${report.date}`,
    `Medians ± sample deviations of ${report.repeats} samples, taken in turns${several ? '' : ' over the tests'}; without ${report.excluded.join(', ')}.`,
    ...(several ? boundText(report) : []),
  ];
}

/** Such as ', adapter NVIDIA H100, features subgroups'. */
const deviceText = ({ device }: BenchReport): string =>
  Object.entries(device)
    .map(([name, value]) => `, ${name} ${value}`)
    .join('');

/** What 'bound' and 'reached' are, and the rates behind them. */
function boundText({ variants }: BenchReport): string[] {
  const texts = variants.map(
    ({ rates }) => `${gigas(rates.bytesPerSecond)} GB/s and ${gigas(rates.operationsPerSecond)} Gop/s`,
  );
  const rates =
    new Set(texts).size === 1 ? texts[0] : variants.map(({ name }, i) => `${texts[i]} for '${name}'`).join(', ');
  return [
    `Speedup over '${variants[0].name}'. Bound: how much shorter the longer of reading (weights, keys and values) and computing gets, ` +
      `at the rates of this engine's products here: ${rates}. Reached: speedup over bound.`,
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
    'limit',
    'bytes',
    'operations',
    'bytes_per_second',
    'operations_per_second',
    'kv_bytes_per_token',
    'peak_bytes',
    'resident_bytes',
    'samples',
  ];
  const ratesOf = ({ variant }: BenchResult): Rates => report.variants.find(({ name }) => name === variant)!.rates;
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
    r.bound.limit,
    r.work.bytes,
    r.work.operations,
    ratesOf(r).bytesPerSecond,
    ratesOf(r).operationsPerSecond,
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
