import { mean, standardError } from '../evaluate/index.js';
import { isPerplexity } from './metrics.js';
import { leaves, type TaskResults } from './results.js';
import type { TaskGroup } from './task.js';

/** What differs of a metric between two models that answered the same questions. */
export interface PairedMetric {
  /** The mean of this model's numbers less the other's; of perplexities, of their log-likelihoods. */
  readonly difference: number;
  /** From the differences of single questions: what both find hard cancels. null for one question. */
  readonly standardError: number | null;
  /** Questions that this model gets right and the other wrong, and the reverse. A perplexity flips nothing. */
  readonly gained: number;
  readonly lost: number;
  /** Which they are, by their `doc_id`; of groups, their tasks say it. */
  readonly questions?: { readonly gained: readonly number[]; readonly lost: readonly number[] };
}

/** By task or group, and by metric. */
export type PairedResults = Readonly<Record<string, Readonly<Record<string, PairedMetric>>>>;

/** A question's number of two models. */
interface Pair {
  readonly question: number;
  readonly now: number;
  readonly other: number;
}

/** Compares two models on the same questions. */
export function pairedResults(now: TaskResults, other: TaskResults, groups: readonly TaskGroup[]): PairedResults {
  const pairs = (name: string, metric: string): Pair[] =>
    now.samples[name].map(({ doc_id: question, metrics }, i) => ({
      question,
      now: metrics[metric],
      other: other.samples[name][i].metrics[metric],
    }));
  const ofTask = (name: string): Record<string, PairedMetric> =>
    Object.fromEntries(
      Object.keys(now.samples[name][0].metrics).map((metric) => {
        const both = pairs(name, metric);
        const [gained, lost] = isPerplexity(metric) ? [[], []] : [flipped(both, 1), flipped(both, -1)];
        return [
          metric,
          { ...differenceOf(both), gained: gained.length, lost: lost.length, questions: { gained, lost } },
        ];
      }),
    );
  const ofGroup = (group: TaskGroup): Record<string, PairedMetric> => {
    const both = leaves(group, groups).flatMap((name) => pairs(name, 'acc,none'));
    return {
      'acc,none': { ...differenceOf(both), gained: flipped(both, 1).length, lost: flipped(both, -1).length },
    };
  };
  return Object.fromEntries([
    ...Object.keys(now.samples).map((name) => [name, ofTask(name)]),
    ...groups.map((group) => [group.name, ofGroup(group)]),
  ]);
}

const flipped = (pairs: readonly Pair[], step: 1 | -1): number[] =>
  pairs.filter((pair) => pair.now - pair.other === step).map(({ question }) => question);

function differenceOf(pairs: readonly Pair[]): Pick<PairedMetric, 'difference' | 'standardError'> {
  const differences = pairs.map(({ now, other }) => now - other);
  return { difference: mean(differences), standardError: standardError(differences) };
}
