import { metricNames, searches, type MetricName, type Search } from '../drop/index.js';
import { choice, flag, int, layers } from './options.js';

/**
 * Options of how modules are chosen, beside target and count. They have no defaults here, so that commands can tell which
 * were given.
 */
export const methodOptions = {
  metric: choice<MetricName>('what to score by (default: cosine)', metricNames),
  search: choice<Search>('score at once, or drop one by one what costs least (default: score)', searches),
  seed: int('of --metric random (default: 0)', 0),
  keep: layers('drop nothing of these layers'),
};

/** What only one drop can do, and no curve of them. */
export const singleDropOptions = {
  iterations: int('rounds of scoring, each on what is left (default: 1)', 1),
  consecutive: flag('one window of blocks; with --target block'),
  compat: choice<'llm-drop'>("repeat LLM-Drop's choice of windows, which is off by one", ['llm-drop']),
};
