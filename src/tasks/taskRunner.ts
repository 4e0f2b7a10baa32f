import type { Tokenizer } from '../checkpoint/index.js';
import type { Model } from '../models/index.js';
import type { Progress } from '../progress/index.js';
import type { Asked } from './fewShot.js';
import { generations } from './generations.js';
import { logLikelihoods } from './logLikelihoods.js';
import { measure, type Answer } from './metrics.js';
import { promptTokens, textRequests, tokenRequest, type TokenRequest } from './requests.js';
import { respsOf, type Sample } from './results.js';
import type { Scoring, Task } from './task.js';

/** The questions of a task as tokens: requests, one for each choice, or a prompt. */
export type TaskTokens = readonly (readonly TokenRequest[])[];

/** A task's questions, in lm-eval's tokens. */
export const taskTokens = (tokenizer: Tokenizer, scoring: Scoring, asked: readonly Asked[]): TaskTokens =>
  asked.map((one) => {
    const requests = textRequests(one, scoring);
    if (scoring.kind !== 'generation') return requests.map((request) => tokenRequest(tokenizer, request));
    const tokens = promptTokens(tokenizer, requests[0].context);
    return [{ tokens, from: tokens.length }];
  });

export interface RunTaskOptions {
  /** Answers by an interrupted run, by the question's place; null where there was none yet. */
  readonly done?: readonly (Answer | null)[];
  /** Told all answers so far, after some more. */
  readonly onAnswers?: (answers: readonly (Answer | null)[]) => Promise<void>;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/** The model's answers to a task's questions. */
export async function answersOf(
  { model, tokenizer }: { readonly model: Model; readonly tokenizer: Tokenizer },
  { scoring }: Task,
  questions: TaskTokens,
  { done, onAnswers, onProgress, signal }: RunTaskOptions = {},
): Promise<readonly Answer[]> {
  const answers: (Answer | null)[] = questions.map((_, i) => done?.[i] ?? null);
  const open = answers.flatMap((answer, i) => (answer === null ? [i] : []));
  let count = answers.length - open.length;
  const onAnswer = async (place: number, answer: Answer): Promise<void> => {
    answers[open[place]] = answer;
    await onAnswers?.(answers);
    onProgress?.(++count, questions.length, 'questions');
  };
  if (scoring.kind === 'generation')
    await generations(
      model,
      tokenizer,
      open.map((i) => questions[i][0].tokens),
      {
        until: scoring.until,
        most: scoring.most,
        onText: onAnswer,
        signal,
      },
    );
  else
    await logLikelihoods(
      model,
      open.map((i) => questions[i]),
      {
        greedy: scoring.kind === 'continuation',
        onGroup: onAnswer,
        signal,
      },
    );
  return answers as Answer[];
}

/** What answers came to. */
export const samplesOf = ({ scoring }: Task, asked: readonly Asked[], answers: readonly Answer[]): Sample[] =>
  asked.map(({ question }, i) => ({
    doc_id: i,
    target: scoring.kind === 'choice' ? question.gold : (question.answer as string),
    resps: respsOf(answers[i]),
    metrics: measure(scoring, question, answers[i]),
  }));
