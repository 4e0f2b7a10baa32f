import { UserError, flag, shownValue, whole, type Read } from '../engine/index.js';
import { heading, streamOf, usageOf, type Answer } from './answer.js';
import { ApiError } from './apiError.js';
import { runChoice, seeded, type Choice, type Piece } from './choice.js';
import {
  restOfFields,
  samplingFields,
  stopTexts,
  streamFields,
  type Fields,
  type SamplingFields,
  type StreamFields,
} from './fields.js';
import { codePoints } from './tokenTexts.js';
import type { RankedToken, TokenScore } from './tokenScores.js';
import type { Served } from './variant.js';

/** A prompt as a text, or as its tokens. */
type Prompt = string | readonly number[];

interface CompletionRequest extends StreamFields {
  readonly prompts: readonly Prompt[];
  readonly maxTokens: number;
  readonly n: number;
  readonly echo: boolean;
  readonly top: number | undefined;
  readonly stops: readonly string[];
  readonly ignoreEos: boolean;
  readonly addSpecialTokens: boolean;
  readonly sampling: SamplingFields;
}

const isTokens = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((id) => typeof id === 'number');

/** A prompt, or a list of prompts. */
const promptList: Read<readonly Prompt[]> = (value, name) => {
  const prompts: unknown[] = typeof value === 'string' || isTokens(value) ? [value] : (value as unknown[]);
  if (Array.isArray(prompts) && prompts.length && prompts.every((one) => typeof one === 'string' || isTokens(one)))
    return prompts;
  throw new UserError(`${name} must be a text, a list of token ids, or a list of either, found ${shownValue(value)}`);
};

function completionRequest(fields: Fields): CompletionRequest {
  const request = {
    prompts: fields.required('prompt', promptList),
    maxTokens: fields.maybe('max_tokens', whole(0)) ?? 16,
    n: fields.maybe('n', whole(1, 128)) ?? 1,
    echo: fields.maybe('echo', flag) ?? false,
    top: fields.maybe('logprobs', whole(0, 100)),
    stops: fields.maybe('stop', stopTexts) ?? [],
    ignoreEos: fields.maybe('ignore_eos', flag) ?? false,
    addSpecialTokens: fields.maybe('add_special_tokens', flag) ?? true,
    sampling: samplingFields(fields),
    ...streamFields(fields),
  };
  fields.refuse('best_of', [request.n], 'every choice is returned');
  fields.refuse('suffix', [''], 'texts are continued at their end');
  restOfFields(fields);
  if (request.stream && request.echo && request.top !== undefined)
    throw new ApiError(400, 'echo with logprobs cannot be streamed', { param: 'stream' });
  return request;
}

/** `/v1/completions` */
export async function completions(served: Served, fields: Fields, signal: AbortSignal): Promise<Answer> {
  const request = completionRequest(fields);
  const { maxTokens, n, echo, top, stops, sampling, ignoreEos } = request;
  const prompts = request.prompts.map((prompt) => tokensOf(served, prompt, request.addSpecialTokens));
  served.scheduler.check(prompts, n, maxTokens);
  const head = heading('cmpl', 'text_completion', served.name);
  const run = (onPiece?: (piece: Piece, index: number) => void): Promise<Choice[]> =>
    Promise.all(
      prompts.flatMap((prompt, p) =>
        Array.from({ length: n }, (_, i) =>
          runChoice(served, {
            ...{ prompt, maxTokens, top, signal, stopTexts: stops, scorePrompt: echo && top !== undefined },
            sampling: seeded(sampling, i),
            stopTokens: ignoreEos ? new Set<number>() : served.stopTokens,
            onPiece: onPiece && ((piece) => onPiece(piece, p * n + i)),
          }),
        ),
      ),
    );
  const echoed = (index: number): string => {
    const p = Math.floor(index / n);
    return textOf(served, request.prompts[p], prompts[p]);
  };
  if (!request.stream) {
    const choices = await run();
    return {
      ...head,
      choices: choices.map((choice, index) => ({
        index,
        text: (echo ? echoed(index) : '') + choice.text,
        logprobs:
          top === undefined
            ? null
            : logprobsOf(
                served,
                choice,
                echo ? { ids: prompts[Math.floor(index / n)], text: echoed(index) } : undefined,
              ),
        finish_reason: choice.finish,
      })),
      usage: usageOf(prompts, choices),
    };
  }
  const event = (
    index: number,
    text: string,
    finish_reason: string | null,
    logprobs: object | null = null,
  ): object => ({
    ...head,
    choices: [{ index, text, logprobs, finish_reason }],
  });
  return streamOf(async (push) => {
    if (echo) for (let i = 0; i < prompts.length * n; i++) push(event(i, echoed(i), null));
    const choices = await run((piece, index) => {
      const told = top === undefined || !piece.token ? null : logprobsOf(served, { pieces: [piece], promptScores: [] });
      if (piece.text !== '' || told) push(event(index, piece.text, null, told));
    });
    return [
      ...choices.map(({ finish }, index) => event(index, '', finish)),
      ...(request.includeUsage ? [{ ...head, choices: [], usage: usageOf(prompts, choices) }] : []),
    ];
  });
}

const tokensOf = ({ tokenizer }: Served, prompt: Prompt, addSpecialTokens: boolean): readonly number[] =>
  typeof prompt === 'string' ? tokenizer.encode(prompt, { addSpecialTokens }) : prompt;

const textOf = ({ tokenizer }: Served, prompt: Prompt, tokens: readonly number[]): string =>
  typeof prompt === 'string' ? prompt : tokenizer.decode(tokens);

/** A prompt that is returned before what was made of it. */
interface Echo {
  readonly ids: readonly number[];
  readonly text: string;
}

/** Lists by token, of an echoed prompt first. */
function logprobsOf(
  { texts }: Served,
  { pieces, promptScores }: Pick<Choice, 'pieces' | 'promptScores'>,
  echo: Echo = { ids: [], text: '' },
): object {
  const made = pieces.flatMap(({ token, offset }) => (token ? [{ ...token, offset }] : []));
  const begin = codePoints(echo.text);
  const scores = [...echo.ids.map((_, i) => promptScores[i]), ...made.map(({ score }) => score)];
  const ids = [...echo.ids, ...made.map(({ token }) => token)];
  const name = (id: number): string => texts.of(id);
  return {
    tokens: ids.map(name),
    token_logprobs: scores.map((score) => score?.logprob ?? null),
    top_logprobs: scores.map((score, i) => (score ? byText(score, ids[i], name) : null)),
    text_offset: [...texts.offsets(echo.ids, echo.text), ...made.map(({ offset }) => begin + offset)],
  };
}

/** The likeliest tokens and the token itself, by their texts; of those that look alike, the likeliest counts. */
function byText({ logprob, top }: TokenScore, id: number, name: (id: number) => string): Record<string, number> {
  const ranked: RankedToken[] = [...top, { token: id, logprob }];
  const likeliestLast = ranked.sort((a, b) => a.logprob - b.logprob);
  return Object.fromEntries(likeliestLast.map((one) => [name(one.token), one.logprob]));
}
