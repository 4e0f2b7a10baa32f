import { UserError, flag, number, shownValue, whole, type Read } from '../engine/index.js';
import { ApiError } from './apiError.js';

/** The fields of a request's body, each read once by its name. What nobody reads is refused. */
export class Fields {
  readonly #body: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>();

  constructor(body: unknown) {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new ApiError(400, `the body must be a JSON object, found ${shownValue(body)}`);
    this.#body = body as Record<string, unknown>;
  }

  /** Of a field that may be missing, or null. */
  maybe<T>(name: string, read: Read<T>): T | undefined {
    this.#read.add(name);
    const value = this.#body[name];
    if (value === undefined || value === null) return undefined;
    try {
      return read(value, name);
    } catch (error) {
      if (error instanceof UserError) throw new ApiError(400, error.message, { param: name });
      throw error;
    }
  }

  required<T>(name: string, read: Read<T>): T {
    const value = this.maybe(name, read);
    if (value === undefined) throw new ApiError(400, `${name} is missing`, { param: name });
    return value;
  }

  /** What changes no answer here. */
  ignore(...names: readonly string[]): void {
    names.forEach((name) => this.#read.add(name));
  }

  /** What is not supported: any value but those that ask for nothing. */
  refuse(name: string, nothing: readonly unknown[], reason: string): void {
    this.#read.add(name);
    const value = this.#body[name];
    if (value === undefined || value === null || nothing.includes(value)) return;
    if (typeof value === 'object' && Object.keys(value).length === 0) return;
    throw new ApiError(400, `${name} is not supported: ${reason}`, { param: name, code: 'unsupported_parameter' });
  }

  /** Refuses the first field that nobody has read. */
  end(): void {
    const unknown = Object.keys(this.#body).find((name) => !this.#read.has(name));
    if (unknown !== undefined)
      throw new ApiError(400, `there is no field ${shownValue(unknown)}`, {
        param: unknown,
        code: 'unknown_parameter',
      });
  }
}

/** A text, which may be empty. */
export const anyText: Read<string> = (value, name) =>
  typeof value === 'string' ? value : refused(name, 'a text', value);

/** One stop text, or a list of them; empty ones stop nothing. */
export const stopTexts: Read<readonly string[]> = (value, name) => {
  const texts: unknown[] = Array.isArray(value) ? value : [value];
  if (!texts.every((one): one is string => typeof one === 'string')) refused(name, 'a text or a list of texts', value);
  return (texts as string[]).filter((one) => one !== '');
};

/** Any whole number; what OpenAI's clients send need not fit the sampler's 32 bits. */
const anySeed: Read<number> = (value, name) => whole(-(2 ** 53) + 1)(value, name) >>> 0;

export interface SamplingFields {
  readonly temperature: number;
  readonly topP: number | undefined;
  readonly topK: number | undefined;
  readonly seed: number | undefined;
}

/** How tokens are chosen, with OpenAI's defaults. */
export function samplingFields(fields: Fields): SamplingFields {
  return {
    temperature:
      fields.maybe(
        'temperature',
        number('a number of 0 to 100', (x) => x >= 0 && x <= 100),
      ) ?? 1,
    topP: fields.maybe(
      'top_p',
      number('a number above 0 and at most 1', (x) => x > 0 && x <= 1),
    ),
    topK: fields.maybe('top_k', whole(1)),
    seed: fields.maybe('seed', anySeed),
  };
}

export interface StreamFields {
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

export function streamFields(fields: Fields): StreamFields {
  const stream = fields.maybe('stream', flag) ?? false;
  const options = fields.maybe('stream_options', (value) => new Fields(value));
  return { stream, includeUsage: options?.maybe('include_usage', flag) ?? false };
}

/** What clients send that has no meaning here, and what would change answers if it were not left out. */
export function restOfFields(fields: Fields): void {
  fields.ignore('user', 'metadata', 'store', 'service_tier', 'safety_identifier', 'prompt_cache_key');
  for (const penalty of ['presence_penalty', 'frequency_penalty']) fields.refuse(penalty, [0], 'only 0 is');
  fields.refuse('logit_bias', [], 'tokens are chosen by the model alone');
  fields.end();
}

function refused(name: string, expected: string, value: unknown): never {
  throw new UserError(`${name} must be ${expected}, found ${shownValue(value)}`);
}
