import { metricNames, searches, type MethodRequest, type MetricName, type Search, type Target } from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { choice, flag, int } from './options.js';

/** How `drop` chooses, beside the target and the count. None has a default here, so that what is given is known. */
export const methodOptions = {
  metric: choice<MetricName>('what to score by (default: cosine)', metricNames),
  search: choice<Search>('score at once, or drop one by one what costs least (default: score)', searches),
  iterations: int('rounds of scoring, each on what is left (default: 1)', 1),
  consecutive: flag('one window of blocks; with --target block'),
  compat: choice<'llm-drop'>("repeat LLM-Drop's choice of windows, which is off by one", ['llm-drop']),
  seed: int('of --metric random (default: 0)', 0),
};

interface MethodValues {
  readonly metric?: MetricName;
  readonly search?: Search;
  readonly iterations?: number;
  readonly consecutive: boolean;
  readonly compat?: 'llm-drop';
  readonly seed?: number;
  readonly keep?: readonly number[];
}

/** What was asked for, for `dropMethod` to check and complete. */
export const methodRequest = (target: Target, count: number, o: MethodValues): MethodRequest => ({
  target,
  count,
  metric: o.metric,
  search: o.search,
  iterations: o.iterations,
  consecutive: o.consecutive,
  compat: o.compat,
  seed: o.seed,
  keep: o.keep,
});

/** Flags of these that were given, as they are written. */
export const givenFlags = (o: MethodValues, names: readonly (keyof MethodValues)[]): string[] =>
  names.filter((name) => o[name] !== undefined && o[name] !== false).map((name) => `--${name}`);

/** Refuses flags that do not go with something, in one sentence. */
export function refuseFlags(reason: string, flags: readonly string[]): void {
  if (flags.length)
    throw new UserError(`${reason}, so ${flags.join(' and ')} ${flags.length > 1 ? 'do' : 'does'} not go with it`);
}
