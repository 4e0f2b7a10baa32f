import type { CompensationRecord } from './compensateReport.js';
import type { CalibrationRecord } from '../text/index.js';
import type { DropReport } from './dropReport.js';
import type { ExpertMethod } from './expertMethod.js';
import type { Choice, DropMethod } from './method.js';

/**
 * How a dropped model came about: the schema `llm-drop/drop-report/1` of `drop_report.json`. `drop`, `keep`, `before`,
 * `after` and `loss` are those of `DropReport`: lists are of original layers, sizes in parameters and bytes, losses in
 * nats a token; `importance`, `rounds` or `steps` hold the scores that decided, where any were made.
 */
export interface DropRecord extends DropReport, Omit<Choice, 'drops'> {
  readonly schema: 'llm-drop/drop-report/1';
  /** Version of llm-drop. */
  readonly version: string;
  /** ISO 8601. */
  readonly date: string;
  /** The model's folder, as it was named. */
  readonly model: string;
  /** `lists` where the modules were named. */
  readonly method: 'lists' | 'scores' | 'consecutive' | 'iterative' | 'greedy';
  readonly target: DropMethod['target'] | 'expert' | null;
  /** Of the target; experts of each mixture. */
  readonly count: number | null;
  /** Metric of the scores, also if they came from a file; null without scores. */
  readonly metric: string | null;
  readonly search: DropMethod['search'] | null;
  readonly iterations: number | null;
  readonly compat: DropMethod['compat'];
  readonly seed: number | null;
  /** Layers of which nothing was to be dropped. */
  readonly keepLayers: readonly number[];
  readonly calibration: CalibrationRecord | null;
  /** Where output projections were refit: `loss.after` is then that of the refit model. */
  readonly compensation?: CompensationRecord;
  readonly versions: Readonly<Record<string, string>>;
}

/** The part of a record that says how the modules were chosen. */
export type MethodRecord = Pick<
  DropRecord,
  'method' | 'target' | 'count' | 'metric' | 'search' | 'iterations' | 'compat' | 'seed' | 'keepLayers'
>;

/** The record of a method, or of modules that were named; `metric` is that of scores that came from a file. */
export function methodRecord(method: DropMethod | ExpertMethod | undefined, metric?: string): MethodRecord {
  const none = { target: null, count: null, metric: null, search: null, iterations: null, compat: null, seed: null };
  if (!method) return { method: 'lists', ...none, keepLayers: [] };
  if (method.target === 'expert') return { ...none, method: 'scores', ...method, search: 'score', keepLayers: [] };
  const { target, count, search, iterations, consecutive, compat, seed, keep } = method;
  const kind = search !== 'score' ? 'greedy' : consecutive ? 'consecutive' : iterations > 1 ? 'iterative' : 'scores';
  return {
    method: kind,
    target,
    count,
    metric: metric ?? method.metric,
    search,
    iterations,
    compat,
    seed,
    keepLayers: keep,
  };
}
