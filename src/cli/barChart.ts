/** One column of bars. */
export interface Series {
  readonly name: string;
  /** By row; null has no bar. */
  readonly values: readonly (number | null)[];
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/**
 * Bars by layer, the series side by side, all on one scale: from just below the smallest value to the largest, since
 * similarities differ in their last digits. The last line states the scale; what lies below it has no bar.
 */
export function barChart(series: readonly Series[], { width = 80 }: { width?: number } = {}): string[] {
  const rows = Math.max(...series.map(({ values }) => values.length));
  const label = Math.max('layer'.length, String(rows - 1).length);
  const [low, high] = scale(series.flatMap(({ values }) => values.filter((value) => value !== null)));
  const bars = Math.max(4, Math.floor((width - label) / series.length) - 'x 0.0000 '.length - 1);
  const cell = (value: number | null | undefined): string => {
    if (value === null || value === undefined) return '      -'.padEnd(8 + bars);
    return `${value.toFixed(4).padStart(7)} ${bar((value - low) / (high - low), bars)}`;
  };
  const lines = Array.from({ length: rows }, (_, row) =>
    [String(row).padStart(label), ...series.map(({ values }) => cell(values[row]))].join('  '),
  );
  const head = ['layer'.padStart(label), ...series.map(({ name }) => name.padStart(7).padEnd(8 + bars))].join('  ');
  return [head, ...lines, `bars from ${low.toFixed(2)} to ${high.toFixed(2)}`].map((line) => line.trimEnd());
}

/**
 * From the smallest value that is no outlier (Tukey's fence: the first layer is often far below the others, and bars
 * would all look alike) to the largest.
 */
function scale(values: readonly number[]): [low: number, high: number] {
  if (values.length === 0) return [0, 1];
  const sorted = [...values].sort((a, b) => a - b);
  const [lower, upper] = [0.25, 0.75].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  const most = sorted[sorted.length - 1];
  const least = sorted.find((value) => value >= lower - 1.5 * (upper - lower)) ?? most;
  const low = Math.floor((least - 0.05 * (most - least)) * 100) / 100;
  const high = Math.ceil(most * 100) / 100;
  return high > low ? [low, high] : [low, low + 0.01];
}

/** A share of `width` columns, in eighths of one. */
export function bar(share: number, width: number): string {
  const parts = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  return ('█'.repeat(Math.floor(parts / 8)) + eighths[parts % 8]).padEnd(width);
}
