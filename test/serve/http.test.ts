/** The server as its clients see it, on the built-in model. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileURLToPath } from 'node:url';
import { loadTextModel, type TextModel } from '../../src/jobs/textModel.js';
import { computeLogits } from '../../src/evaluate/index.js';
import { generateText } from '../../src/models/index.js';
import { codePoints } from '../../src/serve/tokenTexts.js';
import { serveModel, type ModelServer, type RequestRecord, type ServeOptions } from '../../src/serve/index.js';

const folder = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url));
const template =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

let loaded: TextModel;
beforeAll(async () => {
  loaded = await loadTextModel(folder, {});
});
afterAll(() => loaded.model.close());

/** A server for a test. */
async function serving<T>(options: ServeOptions, work: (server: ModelServer) => Promise<T>): Promise<T> {
  await using server = await serveModel(loaded, { port: 0, template, slots: 4, ...options });
  return await work(server);
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Json = any;

async function post(url: string, path: string, body: unknown, headers: object = {}): Promise<Response> {
  return fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

async function asked(url: string, path: string, body: unknown): Promise<Json> {
  const response = await post(url, path, body);
  const json = (await response.json()) as Json;
  if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(json)}`);
  return json;
}

/** The data of a stream's events, `[DONE]` included. */
async function events(response: Response): Promise<Json[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter(Boolean)
    .map((event) => event.replace(/^data: /, ''))
    .map((data): Json => (data === '[DONE]' ? data : JSON.parse(data)));
}

const greedy = { temperature: 0, max_tokens: 20 };

describe('/v1/completions', () => {
  it('continues a text as `generate` does, whole and as a stream', () =>
    serving({}, async ({ url }) => {
      const prompt = 'Once upon a time';
      const { text } = await generateText(loaded, loaded.tokenizer.encode(prompt), { maxTokens: 20 });
      const whole = await asked(url, '/v1/completions', { prompt, ...greedy });
      expect(whole).toMatchObject({
        object: 'text_completion',
        model: 'model',
        choices: [{ index: 0, text, logprobs: null, finish_reason: 'length' }],
        usage: { completion_tokens: 20 },
      });
      const response = await post(url, '/v1/completions', {
        ...{ prompt, ...greedy, stream: true, stream_options: { include_usage: true } },
      });
      expect(response.headers.get('content-type')).toContain('text/event-stream');
      const told = await events(response);
      expect(told.at(-1)).toBe('[DONE]');
      expect(told.at(-2)).toMatchObject({ choices: [], usage: { completion_tokens: 20 } });
      expect(told.at(-3).choices[0].finish_reason).toBe('length');
      const pieces = told.slice(0, -2).map(({ choices }) => choices[0].text);
      expect(pieces.length).toBeGreaterThan(10);
      expect(pieces.join('')).toBe(text);
    }));

  it('answers what lm-eval asks: the prompt and exactly one token, with log-probabilities', () =>
    serving({}, async ({ url }) => {
      const { model, tokenizer } = loaded;
      const prompts = ['Once upon a time there was', 'The dog', 'Lily'].map((text) => tokenizer.encode(text));
      const body = { prompt: prompts, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
      const { choices } = await asked(url, '/v1/completions', { model: 'model', ...body });
      expect(choices).toHaveLength(3);
      for (const [i, prompt] of prompts.entries()) {
        const { token_logprobs, top_logprobs, tokens, text_offset } = choices[i].logprobs;
        expect(choices[i].index).toBe(i);
        for (const list of [token_logprobs, top_logprobs, tokens, text_offset])
          expect(list).toHaveLength(prompt.length + 1);
        expect([token_logprobs[0], top_logprobs[0]]).toEqual([null, null]);
        const { logits } = await computeLogits(model, [prompt]);
        const { vocabSize } = model.config;
        for (let at = 1; at < prompt.length; at++) {
          const row = logits.subarray((at - 1) * vocabSize, at * vocabSize);
          const norm = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
          expect(token_logprobs[at]).toBeCloseTo(row[prompt[at]] - norm, 4);
          // The client compares for equality.
          const best = Math.max(...(Object.values(top_logprobs[at]) as number[]));
          expect(best).toBeCloseTo(Math.max(...row) - norm, 4);
          expect(best === token_logprobs[at]).toBe(row[prompt[at]] === Math.max(...row));
        }
        expect(Object.values(top_logprobs.at(-1))).toEqual([token_logprobs.at(-1)]);
      }
    }));

  it('gives the one token also where it ends the text, which is empty then', () =>
    serving({}, async ({ url }) => {
      const { model, tokenizer } = loaded;
      // A story goes on until the model ends it.
      const story = await generateText(loaded, tokenizer.encode('Once upon a time'), { maxTokens: 450 });
      expect(story.stoppedBy).toBe('stop token');
      const prompt = [...tokenizer.encode('Once upon a time'), ...story.tokens];
      const { choices } = await asked(url, '/v1/completions', {
        prompt,
        temperature: 0,
        max_tokens: 1,
        logprobs: 1,
        echo: true,
      });
      expect(choices[0].finish_reason).toBe('stop');
      expect(choices[0].logprobs.token_logprobs).toHaveLength(prompt.length + 1);
      expect(choices[0].logprobs.tokens.at(-1)).toBe(tokenizer.tokenOf(model.config.eosTokenIds[0]));
    }));

  it('counts offsets in code points, and joins tokens of half a character', () =>
    serving({}, async ({ url }) => {
      const prompt = 'a😀 naïve 猫 b';
      const { choices } = await asked(url, '/v1/completions', { prompt, max_tokens: 0, logprobs: 0, echo: true });
      const { text_offset, tokens } = choices[0].logprobs;
      expect(choices[0].text).toBe(prompt);
      expect(text_offset.at(-1)).toBe(codePoints(prompt) - codePoints(tokens.at(-1)));
      expect([...text_offset].sort((a, b) => a - b)).toEqual(text_offset);
    }));

  it('ends before a stop text, and shows none of it on the way', () =>
    serving({}, async ({ url }) => {
      const prompt = 'Once upon a time';
      const { text } = (await asked(url, '/v1/completions', { prompt, ...greedy })).choices[0];
      const stop = text.slice(11, 16);
      const body = { prompt, ...greedy, stop: ['nowhere to be found', stop] };
      const whole = await asked(url, '/v1/completions', body);
      expect(whole.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
      const told = await events(await post(url, '/v1/completions', { ...body, stream: true }));
      const streamed = told.slice(0, -1).map(({ choices }) => choices[0].text);
      expect(streamed.join('')).toBe(whole.choices[0].text);
    }));

  it('makes several choices of several prompts: seeds tell them apart, and repeat them', () =>
    serving({}, async ({ url }) => {
      const body = { prompt: ['Once', 'The'], n: 3, max_tokens: 12, temperature: 1, seed: 7 };
      const first = await asked(url, '/v1/completions', body);
      expect(first.choices.map(({ index }: Json) => index)).toEqual([0, 1, 2, 3, 4, 5]);
      expect(new Set(first.choices.slice(0, 3).map(({ text }: Json) => text)).size).toBeGreaterThan(1);
      expect((await asked(url, '/v1/completions', body)).choices).toEqual(first.choices);
    }));
});

describe('/v1/chat/completions', () => {
  const messages = [
    { role: 'user', content: 'Tell a story.' },
    { role: 'assistant', content: 'Once' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Go ' },
        { type: 'text', text: 'on.' },
      ],
    },
  ];

  it('puts the messages into the template, and answers', () =>
    serving({}, async ({ url }) => {
      const prompt = 'user: Tell a story.\nassistant: Once\nuser: Go on.\nassistant:';
      const { text } = await generateText(loaded, loaded.tokenizer.encode(prompt), { maxTokens: 20 });
      const whole = await asked(url, '/v1/chat/completions', { messages, ...greedy, logprobs: true, top_logprobs: 2 });
      expect(whole.choices[0]).toMatchObject({
        message: { role: 'assistant', content: text },
        finish_reason: 'length',
      });
      const { content } = whole.choices[0].logprobs;
      expect(content).toHaveLength(20);
      expect(content[0].top_logprobs).toHaveLength(2);
      expect(content[0].top_logprobs[0]).toMatchObject({ token: content[0].token });
      const told = await events(await post(url, '/v1/chat/completions', { messages, ...greedy, stream: true }));
      expect(told[0].choices[0].delta).toEqual({ role: 'assistant', content: '' });
      expect(
        told
          .slice(1, -2)
          .map(({ choices }) => choices[0].delta.content)
          .join(''),
      ).toBe(text);
    }));
});

it('tokenizes, and back', () =>
  serving({}, async ({ url }) => {
    const prompt = 'Once upon<|endoftext|> a time';
    const { tokens } = await asked(url, '/tokenize', { prompt, add_special_tokens: false });
    expect(tokens).toEqual(loaded.tokenizer.encode(prompt));
    expect(await asked(url, '/detokenize', { tokens })).toEqual({ prompt });
    const info = await (await fetch(`${url}/tokenizer_info`)).json();
    expect(info).toMatchObject({ eos_token: '<|endoftext|>', bos_token: '<|endoftext|>' });
  }));

it('variants answer by their names, each with its own drops', () =>
  serving(
    {
      variants: [
        { name: 'whole', drops: { attention: [], mlp: [] } },
        { name: 'drop6', drops: { attention: [2, 3, 4, 5, 6, 7], mlp: [] } },
      ],
    },
    async ({ url }) => {
      const { data } = (await (await fetch(`${url}/v1/models`)).json()) as Json;
      expect(data.map(({ id, drop }: Json) => [id, drop.attention])).toEqual([
        ['whole', []],
        ['drop6', [2, 3, 4, 5, 6, 7]],
      ]);
      const prompt = 'Once upon a time';
      const [whole, dropped] = await Promise.all(
        ['whole', 'drop6'].map((model) => asked(url, '/v1/completions', { model, prompt, ...greedy })),
      );
      loaded.model.setDrops({ attention: [2, 3, 4, 5, 6, 7], mlp: [] });
      const { text } = await generateText(loaded, loaded.tokenizer.encode(prompt), { maxTokens: 20 });
      loaded.model.setDrops({ attention: [], mlp: [] });
      expect(dropped.choices[0].text).toBe(text);
      expect(whole.choices[0].text).not.toBe(text);
      const other = await post(url, '/v1/completions', { model: 'none', prompt });
      expect([other.status, ((await other.json()) as Json).error.code]).toEqual([404, 'model_not_found']);
    },
  ));

describe('what is wrong', () => {
  const path = '/v1/completions';
  it.each([
    ['no prompt', path, {}, 400, 'prompt is missing'],
    ['an empty prompt', path, { prompt: '' }, 400, 'prompt has no token'],
    ['a token that is none', path, { prompt: [99999] }, 400, 'token 99999 is not within 0 to 1023'],
    ['half a token', path, { prompt: [1.5] }, 400, 'prompt[0] must be a token id'],
    [
      'a long prompt',
      path,
      { prompt: Array.from({ length: 600 }, () => 5) },
      400,
      'has 600 tokens, but the context is 512',
    ],
    ['a temperature', path, { prompt: 'a', temperature: -1 }, 400, 'temperature must be'],
    ['a stop', path, { prompt: 'a', stop: 5 }, 400, 'stop must be a text or a list of texts'],
    ['an unknown field', path, { prompt: 'a', temprature: 1 }, 400, 'there is no field "temprature"'],
    ['a penalty', path, { prompt: 'a', presence_penalty: 0.5 }, 400, 'presence_penalty is not supported'],
    ['too many choices', path, { prompt: 'a', n: 100, max_tokens: 1 }, 400, 'a request may be of 12 texts at most'],
    ['no JSON', path, '{"prompt', 400, 'JSON'],
    ['a list', path, [], 400, 'the body must be a JSON object'],
    ['nothing', path, '', 400, 'empty'],
    ['no messages', '/v1/chat/completions', { messages: [] }, 400, 'messages must be a list of at least 1'],
    [
      'an image',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      400,
      'text parts',
    ],
    [
      'a schema',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'a' }], response_format: { type: 'json_schema' } },
      400,
      'response_format of type "json_schema" is not supported',
    ],
    [
      'tools',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'a' }], tools: [{ type: 'function' }] },
      400,
      'tools is not supported',
    ],
    ['another path', '/v2', {}, 404, 'there is no POST /v2'],
  ])("%s is told in OpenAI's shape", (_, where, body, status, message) =>
    serving({ queue: 8 }, async ({ url }) => {
      const response = await post(url, where, body);
      const { error } = (await response.json()) as Json;
      expect([response.status, error.message]).toEqual([status, expect.stringContaining(message)]);
      expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code']);
      expect(error.type).toBe('invalid_request_error');
    }),
  );

  it('a body that is too large, or of another type', () =>
    serving({ bodyBytes: 1000 }, async ({ url }) => {
      expect((await post(url, path, { prompt: 'a'.repeat(2000) })).status).toBe(413);
      expect((await post(url, path, '{"prompt":"a"}', { 'content-type': 'text/plain' })).status).toBe(415);
    }));

  it('a full queue: 429, and when to ask again', () =>
    serving({ slots: 1, queue: 1 }, async ({ url }) => {
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => post(url, path, { prompt: 'Once', max_tokens: 40, ignore_eos: true })),
      );
      const refused = answers.filter(({ status }) => status === 429);
      expect(answers.filter(({ ok }) => ok).length).toBeGreaterThanOrEqual(2);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused[0].headers.get('retry-after')).toBe('1');
      await Promise.all(answers.map((answer) => answer.text()));
    }));
});

describe('limits', () => {
  it('a key, where one is asked for', () =>
    serving({ apiKey: 'secret' }, async ({ url }) => {
      const models = (key?: string): Promise<Response> =>
        fetch(`${url}/v1/models`, { headers: key === undefined ? {} : { authorization: `Bearer ${key}` } });
      expect((await models()).status).toBe(401);
      expect((await models('secreT')).status).toBe(401);
      expect((await models('secret')).status).toBe(200);
      expect((await fetch(`${url}/health`)).status).toBe(200);
    }));

  it('pages of named origins alone', () =>
    serving({ corsOrigins: ['https://a.example'] }, async ({ url }) => {
      const allowed = async (origin: string): Promise<string | null> =>
        (await fetch(`${url}/v1/models`, { headers: { origin } })).headers.get('access-control-allow-origin');
      expect(await allowed('https://a.example')).toBe('https://a.example');
      expect(await allowed('https://b.example')).toBeNull();
    }));

  it('of time, whole and as a stream', () =>
    serving({ timeout: 1 }, async ({ url, served: [{ scheduler }] }) => {
      // Four prompts at a time, of many.
      const body = { prompt: Array.from({ length: 600 }, () => 'Once upon a time'), max_tokens: 400, ignore_eos: true };
      const late = { error: { type: 'server_error', message: 'the answer took more than 1 seconds' } };
      const response = await post(url, '/v1/completions', body);
      expect([response.status, await response.json()]).toMatchObject([504, late]);
      const told = await events(await post(url, '/v1/completions', { ...body, stream: true }));
      expect(told.at(-1)).toMatchObject(late);
      await expect.poll(() => [scheduler.busy, scheduler.waiting]).toEqual([0, 0]);
    }));
});

it('a client that goes away frees its slot, and what it would have got is not made', () => {
  const log: RequestRecord[] = [];
  return serving({ slots: 1, onRequest: (record) => log.push(record) }, async ({ url, served: [{ scheduler }] }) => {
    const left = new AbortController();
    const body = JSON.stringify({ prompt: 'Once', max_tokens: 480, ignore_eos: true, stream: true });
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body, signal: left.signal });
    await response.body!.getReader().read();
    expect(scheduler.busy).toBe(1);
    left.abort();
    await expect.poll(() => scheduler.busy, { timeout: 5000 }).toBe(0);
    await expect.poll(() => log.length).toBe(1);
    expect(log[0]).toMatchObject({ path: '/v1/completions', model: 'model', aborted: true });
  });
});

it('tells its numbers to Prometheus', () =>
  serving({}, async ({ url }) => {
    await asked(url, '/v1/completions', { prompt: 'Once upon a time', ...greedy });
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    const text = await response.text();
    expect(text).toContain('llm_drop_requests_total{route="/v1/completions",status="200"} 1');
    expect(text).toContain('llm_drop_generated_tokens_total{model="model"} 20');
    expect(text).toContain('llm_drop_time_to_first_token_seconds_count{model="model"} 1');
    expect(text).toContain('llm_drop_time_between_tokens_seconds_count{model="model"} 19');
    for (const line of text.split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? \S+|)$/);
  }));

it('close lets what is under way end', async () => {
  const server = await serveModel(loaded, { port: 0 });
  const answer = asked(server.url, '/v1/completions', {
    prompt: 'Once',
    max_tokens: 100,
    ignore_eos: true,
    temperature: 0,
  });
  await expect.poll(() => server.served[0].scheduler.busy).toBe(1);
  await server.close();
  expect((await answer).usage.completion_tokens).toBe(100);
  await expect(fetch(server.url)).rejects.toThrow('fetch failed');
});
