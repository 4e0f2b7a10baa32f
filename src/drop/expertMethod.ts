import { UserError, checkOptions, oneOf, whole, type Options } from '../engine/index.js';
import { seedOption, uniform, type ExpertDrops } from '../models/index.js';
import { expertMetrics, type ExpertMetricName, type ExpertWork } from './expertMetric.js';
import type { ExpertWorks } from './importance.js';
import { mostRedundant } from './select.js';

/** What decides which experts go: what they did over a text, or chance as the control. */
export type ExpertCriterion = ExpertMetricName | 'random';
export const expertCriteria: readonly ExpertCriterion[] = [...expertMetrics.map(({ name }) => name), 'random'];

/** What a drop of experts is asked to do; what is left out has its default. */
export interface ExpertRequest {
  /** Experts of each mixture. */
  readonly count: number;
  /** @defaultValue 'reap' */
  readonly metric?: ExpertCriterion;
  readonly seed?: number;
}

/** How experts are chosen, complete and consistent. */
export interface ExpertMethod {
  readonly target: 'expert';
  readonly count: number;
  readonly metric: ExpertCriterion;
  /** Seed of random choices; null for all others. */
  readonly seed: number | null;
}

const requestOptions: Options<ExpertRequest> = { count: whole(1), metric: oneOf(expertCriteria), seed: seedOption };

/** Fills in the defaults, and refuses in one sentence what makes no sense together. */
export function expertMethod(request: ExpertRequest): ExpertMethod {
  checkOptions(request, requestOptions);
  const { count, metric = 'reap', seed } = request;
  if (seed !== undefined && metric !== 'random')
    throw new UserError('`seed` is of random choices, so it needs `metric` random');
  return { target: 'expert', count, metric, seed: metric === 'random' ? (seed ?? 0) : null };
}

/** Whether a method looks at text. */
export const expertsNeedText = ({ metric }: ExpertMethod): boolean => metric !== 'random';

/** The `count` experts of each layer that matter least; of equals, those of the lower number. */
export function selectExperts(works: ExpertWorks, { count, metric, seed }: ExpertMethod): ExpertDrops {
  const next = uniform(seed ?? 0);
  const known = expertMetrics.find(({ name }) => name === metric);
  const redundancy = (work: ExpertWork): number => (known ? -known.importance(work) : next());
  return works.map((experts) => experts && mostRedundant(experts.map(redundancy), count));
}
