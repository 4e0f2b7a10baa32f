/** OpenAI's own client and LangChain's talk with our server as with theirs: completions, chats, streams, errors. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ChatOpenAI, OpenAI as LangChainOpenAI } from '@langchain/openai';
import OpenAI from 'openai';

const dist = process.env.LLM_DROP_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url));
const model = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url));
const template =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

let folder, server, baseURL, openai;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llm-drop-consumers-'));
  await writeFile(join(folder, 'chat.jinja'), template);
  const flags = ['--port', '0', '--json', '--api-key', 'secret', '--chat-template', join(folder, 'chat.jinja')];
  const variants = ['--variant', 'whole', '--variant', 'drop4=--drop-attn:4-7'];
  server = spawn(process.execPath, [join(dist, 'cli/main.js'), 'serve', model, ...flags, ...variants], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  for await (const piece of server.stdout) {
    told += piece;
    if (told.trimEnd().endsWith('\n}')) break;
  }
  baseURL = `${JSON.parse(told).url}/v1`;
  openai = new OpenAI({ baseURL, apiKey: 'secret', maxRetries: 0 });
});
after(async () => {
  server.kill('SIGTERM');
  const code = await new Promise((resolve) => server.once('exit', resolve));
  await rm(folder, { recursive: true });
  assert.equal(code, 0, 'SIGTERM ends the server well');
});

const messages = [{ role: 'user', content: 'Tell me a story.' }];

describe("OpenAI's client", () => {
  it('lists the models', async () => {
    const names = [];
    for await (const { id } of openai.models.list()) names.push(id);
    assert.deepEqual(names, ['whole', 'drop4']);
  });

  it('completes, with log-probabilities and usage', async () => {
    const { choices, usage } = await openai.completions.create({
      ...{ model: 'whole', prompt: 'Once upon a time', max_tokens: 8, temperature: 0, logprobs: 2 },
    });
    assert.match(choices[0].text, /^, there was a/);
    assert.equal(choices[0].logprobs.tokens.join(''), choices[0].text);
    assert.equal(choices[0].finish_reason, 'length');
    assert.equal(usage.completion_tokens, 8);
  });

  it('streams completions', async () => {
    const o = { model: 'drop4', prompt: 'Once upon a time', max_tokens: 12, temperature: 0 };
    const whole = await openai.completions.create(o);
    let text = '';
    for await (const { choices } of await openai.completions.create({ ...o, stream: true })) text += choices[0].text;
    assert.equal(text, whole.choices[0].text);
  });

  it('chats, whole and as a stream', async () => {
    const o = { model: 'whole', messages, max_completion_tokens: 12, temperature: 0 };
    const { choices } = await openai.chat.completions.create({ ...o, logprobs: true, top_logprobs: 2 });
    assert.equal(choices[0].message.role, 'assistant');
    assert.equal(choices[0].logprobs.content.length, 12);
    let text = '';
    let usage;
    const stream = await openai.chat.completions.create({
      ...{ ...o, stream: true, stream_options: { include_usage: true } },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, choices[0].message.content);
    assert.equal(usage.completion_tokens, 12);
    const runner = openai.chat.completions.stream(o);
    assert.equal(await runner.finalContent(), text);
  });

  it('leaves in the midst of a stream', async () => {
    const stream = await openai.completions.create({
      ...{ model: 'whole', prompt: 'Once', max_tokens: 400, stream: true },
    });
    for await (const _ of stream) break;
  });

  it('knows the errors', async () => {
    const refused = (error) => (wrong) => wrong instanceof error;
    await assert.rejects(openai.completions.create({ model: 'none', prompt: 'a' }), refused(OpenAI.NotFoundError));
    await assert.rejects(openai.completions.create({ model: 'whole', prompt: [] }), refused(OpenAI.BadRequestError));
    const stranger = new OpenAI({ baseURL, apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(stranger.models.list(), refused(OpenAI.AuthenticationError));
  });
});

describe("LangChain's client", () => {
  const fields = { apiKey: 'secret', model: 'whole', temperature: 0, maxTokens: 12 };

  it('chats, whole and as a stream', async () => {
    const chat = new ChatOpenAI({ ...fields, configuration: { baseURL } });
    const { content, usage_metadata } = await chat.invoke('Tell me a story.');
    assert.equal(usage_metadata.output_tokens, 12);
    let text = '';
    for await (const chunk of await chat.stream('Tell me a story.')) text += chunk.content;
    assert.equal(text, content);
  });

  it('completes, whole and as a stream', async () => {
    const llm = new LangChainOpenAI({ ...fields, configuration: { baseURL } });
    const whole = await llm.invoke('Once upon a time');
    let text = '';
    for await (const piece of await llm.stream('Once upon a time')) text += piece;
    assert.equal(text, whole);
  });
});
