export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Of a mean, from the sample's variance; null for one value. */
export function standardError(values: readonly number[]): number | null {
  const n = values.length;
  const center = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (n - 1);
  return n > 1 ? Math.sqrt(variance / n) : null;
}
