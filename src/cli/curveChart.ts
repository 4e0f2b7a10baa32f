import { bar } from './barChart.js';

/** One curve: a value for each count, null where there is none. */
export interface Curve {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

/**
 * Curves over the number of dropped modules, side by side as bars: from the smallest value, which is the whole model's
 * where dropping costs, to the largest. The last line states the scale.
 */
export function curveChart(
  counts: readonly number[],
  curves: readonly Curve[],
  { label = 'dropped', width = 80 }: { label?: string; width?: number } = {},
): string[] {
  const values = curves.flatMap((curve) => curve.values.filter((value) => value !== null));
  if (values.length === 0) return [];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const first = Math.max(label.length, ...counts.map((count) => String(count).length));
  const bars = Math.max(4, Math.floor((width - first) / curves.length) - 'xx.xxxx '.length - 2);
  const cell = (value: number | null): string => {
    if (value === null) return '      -'.padEnd(8 + bars);
    const share = high > low ? (value - low) / (high - low) : 0;
    return `${value.toFixed(4).padStart(7)} ${bar(share, bars)}`;
  };
  const head = [label.padStart(first), ...curves.map(({ name }) => name.padStart(7).padEnd(8 + bars))].join('  ');
  const lines = counts.map((count, row) =>
    [String(count).padStart(first), ...curves.map((curve) => cell(curve.values[row]))].join('  '),
  );
  return [head, ...lines, `bars from ${low.toFixed(4)} to ${high.toFixed(4)}`].map((line) => line.trimEnd());
}
