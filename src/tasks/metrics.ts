import { mean } from '../evaluate/index.js';
import type { LogLikelihood } from './logLikelihoods.js';
import { choicesOf, type Question, type Scoring } from './task.js';

/** What a model answered to a question: the log-likelihood of each choice, or a text. */
export type Answer = readonly LogLikelihood[] | string;

/** What is measured of one question, by `metric,filter` as lm-eval writes it: `acc,none`. */
export type Measured = Readonly<Record<string, number>>;

/** Measures one answer. */
export function measure(scoring: Scoring, question: Question, answer: Answer): Measured {
  switch (scoring.kind) {
    case 'choice': {
      const sums = (answer as readonly LogLikelihood[]).map(({ sum }) => sum);
      // Characters as Python counts them.
      const lengths = choicesOf(question).map((choice) => Array.from(choice.answer).length);
      const chosen = { acc: largest(sums), acc_norm: largest(sums.map((sum, i) => sum / lengths[i])) };
      return Object.fromEntries(
        scoring.metrics.map((metric) => [`${metric},none`, Number(chosen[metric] === question.gold)]),
      );
    }
    case 'continuation': {
      const [{ sum, greedy }] = answer as readonly LogLikelihood[];
      return { 'perplexity,none': sum, 'acc,none': Number(greedy) };
    }
    case 'generation': {
      const right = scoring.compared(question.answer as string);
      return Object.fromEntries(
        Object.entries(scoring.filters).map(([name, filter]) => [
          `exact_match,${name}`,
          Number(scoring.compared(filter(answer as string)) === right),
        ]),
      );
    }
  }
}

/** The first of the largest. */
const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** Whether a metric is the exponential of a mean, whose error is found by drawing again. */
export const isPerplexity = (metric: string): boolean => metric.startsWith('perplexity,');

/** exp(-mean) of log-likelihoods. */
export const perplexity = (sums: readonly number[]): number => Math.exp(-mean(sums));
