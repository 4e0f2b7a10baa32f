import { UserError } from '../engine/index.js';
import type { BenchReport } from './benchReport.js';

/** The same test of the same variant in two reports. */
export interface Comparison {
  readonly variant: string;
  readonly test: string;
  readonly batch: number;
  readonly before: number;
  readonly after: number;
  /** after / before, medians of tokens a second. */
  readonly ratio: number;
  /** What the medians may differ by chance: two standard errors of the ratio. */
  readonly noise: number;
  readonly verdict: 'faster' | 'slower' | 'same';
}

/** What a comparison reads of a report. */
export type Comparable = Pick<BenchReport, 'results'>;

/** The standard error of a median over that of a mean, for normally distributed samples: sqrt(pi / 2). */
const medianError = Math.sqrt(Math.PI / 2);

/** Tests that both reports have, in the new one's order. Only reports of one machine say something about the code. */
export function compareResults(before: Comparable, after: Comparable): Comparison[] {
  return after.results.flatMap(({ variant, test, batch, tokensPerSecond: now }) => {
    const then = before.results.find(
      (r) => r.variant === variant && r.test === test && r.batch === batch,
    )?.tokensPerSecond;
    if (!then) return [];
    const relative = [then, now].map(
      ({ deviation, median, samples }) => (medianError * deviation) / median / Math.sqrt(samples.length),
    );
    const ratio = now.median / then.median;
    const noise = 2 * ratio * Math.hypot(...relative);
    const verdict = Math.abs(ratio - 1) <= noise ? 'same' : ratio > 1 ? 'faster' : 'slower';
    return { variant, test, batch, before: then.median, after: now.median, ratio, noise, verdict };
  });
}

/** A report from JSON, checked as far as a comparison reads it. */
export function parseBenchReport(document: unknown, where: string): Comparable {
  const { results } = (document ?? {}) as { results?: unknown };
  const isResult = (r: unknown): boolean => {
    const { variant, test, batch, tokensPerSecond } = (r ?? {}) as Record<string, unknown>;
    const { median, deviation, samples } = (tokensPerSecond ?? {}) as Record<string, unknown>;
    return (
      [typeof variant, typeof test].every((type) => type === 'string') &&
      [batch, median, deviation].every(Number.isFinite) &&
      Array.isArray(samples)
    );
  };
  if (!Array.isArray(results) || !results.every(isResult))
    throw new UserError(`${where} holds no results of llm-drop bench`, {
      hint: 'write them with llm-drop bench --json',
    });
  return document as Comparable;
}
