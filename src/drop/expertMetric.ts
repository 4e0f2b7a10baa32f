/** What an expert did over a text: sums over the tokens that visited it. */
export interface ExpertWork {
  readonly visits: number;
  /** Of the weights that what it gave got. */
  readonly weights: number;
  /** Of these weights times the L2 norm of what it gave. */
  readonly outputs: number;
}

export type ExpertMetricName = 'reap' | 'visits' | 'weights';

/** How much an expert matters: the less, the sooner it is dropped. */
export interface ExpertMetric {
  readonly name: ExpertMetricName;
  importance(work: ExpertWork): number;
}

/**
 * Router-weighted expert activation pruning (Lasby et al., 2025, arXiv 2510.13999): the size of what an expert adds to a
 * token, as the mean over the tokens that visit it. One that no token visits adds nothing.
 */
export const reap: ExpertMetric = {
  name: 'reap',
  importance: ({ visits, outputs }) => (visits === 0 ? 0 : outputs / visits),
};

/** How many tokens visit it. */
export const visits: ExpertMetric = { name: 'visits', importance: (work) => work.visits };

/** The same, a token counting as much as the expert's weight (after the soft counting of SEER-MoE; Muzio et al., 2024). */
export const weights: ExpertMetric = { name: 'weights', importance: (work) => work.weights };

export const expertMetrics: readonly ExpertMetric[] = [reap, visits, weights];
