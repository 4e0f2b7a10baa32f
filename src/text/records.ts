import { type ChatMessage } from '../checkpoint/index.js';
import { UserError, shownNames, shownValue } from '../engine/index.js';

export interface RecordOptions {
  /** The field that holds the text, or a chat; default `text`. */
  readonly field?: string;
  /** Makes the text of a chat, as the model's template has it; without it, records of chats are refused. */
  readonly chat?: (messages: readonly ChatMessage[]) => string;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The document of one record: a string; an object whose `field` is a string; or a chat, in the field or in those that
 * such records have (see `chatOf`). UserError that names `place` and the record's fields for anything else.
 */
export function documentOf(record: unknown, { field = 'text', chat }: RecordOptions, place: string): string {
  if (typeof record === 'string' && field === 'text') return record;
  if (!isObject(record)) throw new UserError(`${place}: expected an object, found ${shownValue(record)}`);
  const text = record[field];
  if (typeof text === 'string') return text;
  const found = text === undefined && field === 'text' ? chatOf(record, place) : undefined;
  const messages = found ?? (isChat(text) ? messagesOf(text, place, field) : undefined);
  const hint = `its fields are ${shownNames(Object.keys(record))}`;
  if (messages) {
    if (chat) return chat(messages);
    throw new UserError(`${place}: holds a chat, and there is no chat template that makes a text of it`, { hint });
  }
  if (text === undefined) throw new UserError(`${place}: there is no field ${field}`, { hint });
  throw new UserError(`${place}: expected a string in the field ${field}, found ${shownValue(text)}`);
}

/** Fields whose values are what the user and what the assistant says. */
const turns = [
  ['prompt', 'response'],
  ['prompt', 'completion'],
  ['question', 'answer'],
  ['question', 'response'],
  ['instruction', 'output'],
  ['instruction', 'response'],
] as const;

/**
 * The chat that a record holds: `messages`, ShareGPT's `conversations`, or a pair of fields (`prompt` and `response`,
 * Alpaca's `instruction`, `input` and `output`), behind what `system` says. undefined where it is none.
 */
function chatOf(record: Fields, place: string): ChatMessage[] | undefined {
  const system = record.system ?? record.system_prompt;
  const before: ChatMessage[] = typeof system === 'string' && system ? [{ role: 'system', content: system }] : [];
  for (const field of ['messages', 'conversations'])
    if (field in record) {
      const messages = messagesOf(record[field], place, field);
      return messages[0]?.role === 'system' ? messages : [...before, ...messages];
    }
  const pair = turns.find(([asked, said]) => typeof record[asked] === 'string' && typeof record[said] === 'string');
  if (!pair) return undefined;
  const [asked, said] = pair.map((field) => record[field] as string);
  const { input } = record;
  const whole = pair[0] === 'instruction' && typeof input === 'string' && input ? `${asked}\n\n${input}` : asked;
  return [...before, { role: 'user', content: whole }, { role: 'assistant', content: said }];
}

/** Who speaks, as ShareGPT's records have it. */
const speakers: Readonly<Record<string, string>> = {
  human: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  function_call: 'assistant',
  observation: 'tool',
  function_response: 'tool',
};

const isChat = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((item) => isObject(item) && ('role' in item || 'from' in item));

function messagesOf(value: unknown, place: string, field: string): ChatMessage[] {
  if (!Array.isArray(value))
    throw new UserError(`${place}: expected a list of messages in the field ${field}, found ${shownValue(value)}`);
  return value.map((message: unknown) => {
    const { role, from, content, value: said, ...more } = isObject(message) ? message : {};
    const speaker = role ?? (typeof from === 'string' ? (speakers[from] ?? from) : undefined);
    if (typeof speaker !== 'string')
      throw new UserError(
        `${place}: expected messages with role and content in ${field}, found ${shownValue(message)}`,
      );
    return { ...more, role: speaker, content: content ?? said ?? null };
  });
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
