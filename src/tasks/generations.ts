import { host } from '../engine/hosts/index.js';
import type { Tokenizer } from '../checkpoint/index.js';
import { UserError, type Tensor } from '../engine/index.js';
import { isFiniteStream, notFinite, stopTokensOf, type Model } from '../models/index.js';
import { likeliestTokens } from '../evaluate/index.js';
import { Slots, type SlotRun } from './slots.js';

export interface GenerationOptions {
  /** Texts that end an answer, which they are no part of. */
  readonly until: readonly string[];
  /** Tokens of an answer at most. */
  readonly most: number;
  /** Told what was said behind a prompt, by its place. */
  readonly onText: (place: number, said: string) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** A text that is generated. */
interface Speaker {
  readonly place: number;
  readonly slot: number;
  readonly prompt: readonly number[];
  readonly said: number[];
}

/**
 * Continues prompts greedily, in slots side by side, the longest first; a slot that is free takes the next one. Prompts
 * that leave no room for an answer in the model's context are cut off at the beginning. NotFiniteError where a logit is no
 * number, UserError where the context has no room for an answer and a token.
 */
export async function generations(
  model: Model,
  tokenizer: Pick<Tokenizer, 'decode' | 'stopIds'>,
  prompts: readonly (readonly number[])[],
  { until, most, onText, signal }: GenerationOptions,
): Promise<void> {
  if (prompts.length === 0) return;
  const context = model.config.maxPositionEmbeddings;
  if (context <= most)
    throw new UserError(`the model's context of ${context} tokens has no room for an answer of ${most} and a prompt`);
  const waiting = prompts
    .map((prompt, place) => ({ place, prompt: prompt.slice(-(context - most)) }))
    .sort((a, b) => b.prompt.length - a.prompt.length);
  using slots = new Slots(model, waiting[0].prompt.length + most, prompts.length);
  const ends = stopTokensOf(model, tokenizer);
  const free = Array.from({ length: slots.count }, (_, slot) => slot);
  let speaking: Speaker[] = [];
  while (speaking.length || waiting.length) {
    for (const slot of free.splice(0, waiting.length)) speaking.push({ ...waiting.shift()!, slot, said: [] });
    const runs = speaking.map((of): SlotRun<Speaker> => {
      const text = [...of.prompt, ...of.said];
      const kept = slots.keep(of.slot, text, text.length - 1);
      return { slot: of.slot, tokens: text.slice(kept), of };
    });
    await slots.run(
      runs,
      async (hidden, passed) => {
        const rows = passed.map(({ row, tokens }) => row + tokens.length - 1);
        const next = await nextTokens(model, model.engine.gather(hidden, Int32Array.from(rows)), passed);
        passed.forEach(({ of }, i) => of.said.push(next[i]));
      },
      signal,
    );
    speaking = [];
    for (const { of } of runs) {
      const ended = ends.has(of.said.at(-1)!);
      const text = tokenizer.decode(ended ? of.said.slice(0, -1) : of.said, { skipSpecialTokens: true });
      if (!ended && of.said.length < most && !until.some((end) => text.includes(end))) {
        speaking.push(of);
        continue;
      }
      await onText(
        of.place,
        until.reduce((said, end) => said.split(end)[0], text),
      );
      free.push(of.slot);
    }
    await host.nextTurn(); // lets timers, signals and progress have their turn
  }
}

async function nextTokens(
  model: Model,
  last: Tensor,
  passed: readonly { readonly of: Speaker }[],
): Promise<Int32Array> {
  if (!(await isFiniteStream(model, last))) throw await notFinite(model, passed[0].of.prompt, 'a logit');
  return likeliestTokens(model, last);
}
