/** What a row of measurements says. */
export interface Statistics {
  readonly median: number;
  readonly mean: number;
  /** Sample standard deviation; 0 for a single sample. */
  readonly deviation: number;
  readonly samples: readonly number[];
}

export function statistics(samples: readonly number[]): Statistics {
  const n = samples.length;
  const mean = samples.reduce((sum, x) => sum + x, 0) / n;
  const squares = samples.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { median: median(samples), mean, deviation: n > 1 ? Math.sqrt(squares / (n - 1)) : 0, samples };
}

/** The middle one, or the mean of the two in the middle; NaN of nothing. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
