import { UserError, flag, list, shownValue, whole, type Read } from '../engine/index.js';
import type { ChatMessage } from '../checkpoint/index.js';
import { chatPrompt } from '../models/index.js';
import { heading, streamOf, usageOf, type Answer } from './answer.js';
import { ApiError } from './apiError.js';
import { runChoice, seeded, type Choice, type Piece } from './choice.js';
import { restOfFields, samplingFields, stopTexts, streamFields, type Fields } from './fields.js';
import type { RankedToken } from './tokenScores.js';
import type { Served } from './variant.js';

/** What one side says: a text, or a list of text parts, which are joined. */
const message: Read<ChatMessage> = (value, name) => {
  const { role, content } = (value ?? {}) as { role?: unknown; content?: unknown };
  if (typeof role !== 'string') throw new UserError(`${name} must have a role, found ${shownValue(value)}`);
  const parts: unknown[] = Array.isArray(content) ? content : [{ type: 'text', text: content ?? '' }];
  const texts = parts.map((part) => {
    const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
    if (type !== 'text' || typeof text !== 'string')
      throw new UserError(`${name}.content must be a text, or a list of text parts, found ${shownValue(part)}`);
    return text;
  });
  return { ...(value as object), role, content: texts.join('') };
};

/** `/v1/chat/completions` */
export async function chat(served: Served, fields: Fields, signal: AbortSignal): Promise<Answer> {
  const messages = fields.required('messages', list(message, 1));
  const limit = fields.maybe('max_completion_tokens', whole(0)) ?? fields.maybe('max_tokens', whole(0));
  fields.ignore('max_tokens');
  const n = fields.maybe('n', whole(1, 128)) ?? 1;
  const stops = fields.maybe('stop', stopTexts) ?? [];
  const logprobs = fields.maybe('logprobs', flag) ?? false;
  const top = fields.maybe('top_logprobs', whole(0, 20)) ?? 0;
  const sampling = samplingFields(fields);
  const { stream, includeUsage } = streamFields(fields);
  fields.maybe('response_format', textFormat);
  for (const name of ['tools', 'functions']) fields.refuse(name, [], 'the model answers with texts alone');
  fields.ignore('tool_choice', 'parallel_tool_calls');
  restOfFields(fields);

  const { tokenizer, template } = served;
  const prompt = chatPrompt(tokenizer, messages, template);
  served.scheduler.check([prompt], n, limit ?? 1);
  const run = (onPiece?: (piece: Piece, index: number) => void): Promise<Choice[]> =>
    Promise.all(
      Array.from({ length: n }, (_, i) =>
        runChoice(served, {
          ...{ prompt, signal, stopTexts: stops, top: logprobs ? top : undefined },
          maxTokens: limit ?? served.scheduler.context,
          sampling: seeded(sampling, i),
          stopTokens: served.chatStopTokens,
          onPiece: onPiece && ((piece) => onPiece(piece, i)),
        }),
      ),
    );
  if (!stream) {
    const choices = await run();
    return {
      ...heading('chatcmpl', 'chat.completion', served.name),
      choices: choices.map((choice, index) => ({
        index,
        message: { role: 'assistant', content: choice.text, refusal: null },
        logprobs: logprobs ? logprobsOf(served, choice.pieces) : null,
        finish_reason: choice.finish,
      })),
      usage: usageOf([prompt], choices),
    };
  }
  const head = heading('chatcmpl', 'chat.completion.chunk', served.name);
  const event = (index: number, delta: object, finish_reason: string | null, told: object | null = null): object => ({
    ...head,
    choices: [{ index, delta, logprobs: told, finish_reason }],
  });
  return streamOf(async (push) => {
    for (let i = 0; i < n; i++) push(event(i, { role: 'assistant', content: '' }, null));
    const choices = await run((piece, index) => {
      const told = logprobs && piece.token && !piece.token.ends ? logprobsOf(served, [piece]) : null;
      if (piece.text !== '' || told) push(event(index, { content: piece.text }, null, told));
    });
    return [
      ...choices.map(({ finish }, index) => event(index, {}, finish)),
      ...(includeUsage ? [{ ...head, choices: [], usage: usageOf([prompt], choices) }] : []),
    ];
  });
}

/** Texts of any form alone. */
const textFormat: Read<void> = (value, name) => {
  const { type } = value as { type?: unknown };
  if (type !== 'text')
    throw new ApiError(400, `${name} of type ${shownValue(type)} is not supported: answers are texts of any form`, {
      param: name,
      code: 'unsupported_parameter',
    });
};

/** By token of the answer; the token that ends it is none of them. */
function logprobsOf({ texts }: Served, pieces: readonly Piece[]): object {
  const told = ({ token, logprob }: RankedToken): object => {
    const text = texts.of(token);
    return { token: text, logprob, bytes: [...Buffer.from(text)] };
  };
  return {
    content: pieces.flatMap(({ token }) =>
      token?.score && !token.ends
        ? [{ ...told({ token: token.token, ...token.score }), top_logprobs: token.score.top.map(told) }]
        : [],
    ),
    refusal: null,
  };
}
