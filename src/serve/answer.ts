import { randomUUID } from 'node:crypto';
import { Channel } from './channel.js';
import type { Choice } from './choice.js';

/** One JSON document, or the events of a stream. */
export type Answer = object | AsyncIterable<object>;

export const isStream = (answer: Answer): answer is AsyncIterable<object> => Symbol.asyncIterator in answer;

/** What the documents and events of one answer have in common. */
export const heading = (prefix: string, object: string, model: string): object => ({
  id: `${prefix}-${randomUUID()}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model,
});

/** Tokens read and made; of a prompt with several choices, its tokens count once. */
export function usageOf(prompts: readonly (readonly number[])[], choices: readonly Choice[]): object {
  const prompt_tokens = prompts.reduce((sum, { length }) => sum + length, 0);
  const completion_tokens = choices.reduce((sum, { length }) => sum + length, 0);
  const cached_tokens = Math.min(
    prompt_tokens,
    choices.reduce((sum, { reused }) => sum + reused, 0),
  );
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens },
  };
}

/** Events as `work` pushes them; its result's events come last. */
export function streamOf(work: (push: (event: object) => void) => Promise<readonly object[]>): AsyncIterable<object> {
  const events = new Channel<object>();
  const run = async (): Promise<void> => {
    try {
      for (const event of await work((each) => events.push(each))) events.push(event);
      events.close();
    } catch (error) {
      events.close(error as Error);
    }
  };
  void run();
  return events;
}
