import type { Row } from './row.js';

/** A part of a data set. */
export type Split = 'train' | 'dev' | 'validation' | 'test';

/** What a model is asked about one row. */
export interface Question {
  /** What stands before the answer: one text, or one for each choice. */
  readonly prompt: string | readonly string[];
  /** The answer: one text, or one for each choice. */
  readonly answer: string | readonly string[];
  /** Which of the choices is right; 0 where there is no choice. */
  readonly gold: number;
}

export type ChoiceMetric = 'acc' | 'acc_norm';

/** How answers are measured. */
export type Scoring =
  /**
   * The likeliest choice is the answer: behind its prompt (`acc`), or by the character (`acc_norm`: the log-likelihood
   * divided by the choice's code points).
   */
  | { readonly kind: 'choice'; readonly metrics: readonly ChoiceMetric[] }
  /** How likely the one answer is (`perplexity`), and whether each of its tokens is the likeliest (`acc`). */
  | { readonly kind: 'continuation' }
  /** What the model says, greedily, up to one of some texts; it is right where what a filter finds in it is the answer. */
  | {
      readonly kind: 'generation';
      readonly until: readonly string[];
      /** Tokens at most. */
      readonly most: number;
      /** What is taken for the answer, by the filter's name. */
      readonly filters: Readonly<Record<string, (said: string) => string>>;
      /** Of both, what is compared. */
      readonly compared: (text: string) => string;
    };

/**
 * A task as lm-evaluation-harness has it: the same texts, examples and measures, under the same name and version. What
 * stands before a question is `description`, then examples (`prompt answer`, each followed by a blank line), then its
 * prompt; a space parts prompt and answer.
 */
export interface Task {
  readonly name: string;
  /** What tables call it. @defaultValue its name */
  readonly title?: string;
  readonly version: number;
  /** Where its rows are on the hub, for messages. */
  readonly dataset: string;
  /** The folder of its data, under that of all tasks, where several tasks share one. @defaultValue its name */
  readonly folder?: string;
  /** Which of several data sets in a folder, as paths name it: a configuration of the hub's data set. */
  readonly part?: string;
  /** The rows that are asked about, and those that examples come from. */
  readonly splits: { readonly asked: Split; readonly examples: Split };
  /** Whether examples are drawn by lm-eval's seed, for each question anew, or the first ones. @defaultValue 'drawn' */
  readonly examples?: 'drawn' | 'first';
  /** Examples before each question where nobody says. @defaultValue 0 */
  readonly shots?: number;
  readonly description?: string;
  readonly scoring: Scoring;
  /** UserError for a row that is none of the task's. */
  question(row: Row): Question;
}

/** Several tasks, and the mean of their accuracies, each question counting the same. */
export interface TaskGroup {
  readonly name: string;
  readonly title?: string;
  readonly version: number;
  /** Names of tasks, and of groups. */
  readonly members: readonly string[];
}

/** The texts of a question's choices: each has its prompt, or its answer, or both. */
export function choicesOf({ prompt, answer }: Question): readonly { prompt: string; answer: string }[] {
  const count = Math.max(...[prompt, answer].map((texts) => (typeof texts === 'string' ? 1 : texts.length)));
  const at = (texts: string | readonly string[], i: number): string => (typeof texts === 'string' ? texts : texts[i]);
  return Array.from({ length: count }, (_, i) => ({ prompt: at(prompt, i), answer: at(answer, i) }));
}
