export { formatBytes } from '../jobs/byteText.js';

/** 1,234,567 */
export const formatCount = (count: number): string => count.toLocaleString('en-US');

/** What went, in percent: 25% of `before`. */
export const formatSaving = (before: number, after: number): string =>
  before === 0 ? '0%' : `${((100 * (before - after)) / before).toFixed(1)}%`;

/** 45 s, 3 min 8 s, 2 h 5 min. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** A rate: three digits. */
export const formatRate = (rate: number): string =>
  rate >= 100 ? Math.round(rate).toString() : String(Number(rate.toPrecision(3)));

/** [1, 2] as it is written in a config. */
export const formatLayers = (layers: readonly number[]): string => `[${layers.join(', ')}]`;

/** +0.0123 ± 0.0045: a paired difference and its standard error, where there is one. */
export const formatDifference = (difference: number, standardError: number | null): string =>
  `${difference < 0 ? '' : '+'}${difference.toFixed(4)}${standardError === null ? '' : ` ± ${standardError.toFixed(4)}`}`;
