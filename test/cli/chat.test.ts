/** Messages and their answers: one with `generate --chat`, any number with `chat`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer, type ChatMessage } from '../../src/checkpoint/index.js';
import { run } from '../../src/cli/run.js';
import { chatTurn, generate, loadModel } from '../../src/models/index.js';
import { backend, document, llmDrop, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const template =
  '{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}';
const few = ['--max-tokens', '3', '--backend', backend];
let model: string;
let plain: string;

beforeAll(async () => {
  plain = await writeModel(join(folder, 'plain'));
  model = await writeModel(join(folder, 'model'));
  writeFileSync(join(model, 'chat_template.jinja'), template);
});

const user = (content: string): ChatMessage => ({ role: 'user', content });
const system: ChatMessage = { role: 'system', content: 'be' };

/** The answer to each question in turn, by the library. */
async function answers(questions: readonly string[], opening: readonly ChatMessage[] = []): Promise<string[]> {
  const tokenizer = await loadTokenizer(model);
  await using loaded = await loadModel(model, { backend, v8Flags: true });
  const messages = [...opening];
  const texts: string[] = [];
  for (const question of questions) {
    messages.push(user(question));
    const { text } = await chatTurn({ model: loaded, tokenizer }, messages, { maxTokens: 3 });
    messages.push({ role: 'assistant', content: text });
    texts.push(text);
  }
  return texts;
}

describe('generate --chat', () => {
  it('answers the text that the template makes, which has one beginning-of-text token', async () => {
    const { tokens, text, prompt } = await document('generate', model, '--chat', 'hi', '--max-tokens', '3');
    const tokenizer = await loadTokenizer(model);
    const ids = tokenizer.encode('<s>u:hi</s>a:');
    expect(ids.filter((id) => id === tokenizer.bosId)).toHaveLength(1);
    await using loaded = await loadModel(model, { backend, v8Flags: true });
    expect(tokens).toEqual((await generate(loaded, ids, { maxTokens: 3 })).tokens);
    expect([text]).toEqual(await answers(['hi']));
    expect(prompt).toBe('hi');
  });

  it('prints the answer alone, and knows its message by both flags', async () => {
    const [text] = await answers(['hi'], [system]);
    for (const message of [
      ['--chat', 'hi'],
      ['--chat', '--prompt', 'hi'],
      ['--prompt', 'hi', '--chat'],
    ])
      expect(await llmDrop(['generate', model, ...message, '--system', 'be', ...few])).toEqual({
        code: 0,
        stdout: `${text}\n`,
        stderr: '',
      });
  });

  it.each([
    [[], /^error: generate needs --prompt <text> \(/],
    [['--chat'], /^error: generate needs --prompt <text> or --chat <text> \(/],
    [['--chat', 'a', '--prompt', 'b'], /^error: --chat and --prompt both say what to answer/],
    [['--prompt', 'b', '--system', 'c'], /^error: --system goes with --chat\n/],
  ])('refuses %j', async (argv, message) => {
    const { code, stderr } = await llmDrop(['generate', model, ...argv]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

describe('chat', () => {
  it('answers each line of an input, with what was said before, and ends with it', async () => {
    const [one, two] = await answers(['hi', 'ho']);
    expect(await llmDrop(['chat', model, ...few], { stdin: 'hi\n\n  ho' })).toMatchObject({
      code: 0,
      stdout: `${one}\n${two}\n`,
    });
    const [first] = await answers(['hi'], [system]);
    const [again] = await answers(['ho'], [system]);
    const said = { code: 0, stdout: `${first}\n${again}\n` };
    expect(
      await llmDrop(['chat', model, '--system', 'be', ...few], { stdin: 'hi\n/reset\nho\n/exit\nhi\n' }),
    ).toMatchObject(said);
  });

  it('tells the conversation with --json', async () => {
    const [one] = await answers(['hi']);
    const { stdout } = await llmDrop(['chat', model, '--json', ...few], { stdin: 'hi\n' });
    expect(JSON.parse(stdout)).toMatchObject({
      messages: [user('hi'), { role: 'assistant', content: one }],
      drop: { attention: [], mlp: [] },
    });
  });

  it('has the options of other commands', async () => {
    const one = await llmDrop(['chat', model, '--drop-attn', '1-2', ...few], { stdin: 'hi' });
    const same = await llmDrop(['generate', model, '--chat', 'hi', '--drop-attn', '1-2', ...few]);
    expect(one).toMatchObject({ code: 0, stdout: same.stdout });
    expect(await llmDrop(['chat', model, '--int4', ...few], { stdin: 'hi' })).toMatchObject({ code: 0 });
  });

  it.each([['chat'], ['generate', '--chat', 'hi']])(
    '%s refuses a model without a template, in a sentence',
    async (...argv) => {
      const { code, stdout, stderr } = await llmDrop([argv[0], plain, ...argv.slice(1)], { stdin: 'hi' });
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(
        /^error: \S+tokenizer\.json has no chat template \(it was not made for chats; --chat-template gives it one\)\n$/,
      );
    },
  );

  it('takes a template from a file', async () => {
    const file = join(folder, 'other.jinja');
    writeFileSync(file, template);
    const [text] = await answers(['hi']);
    const said = { code: 0, stdout: `${text}\n` };
    expect(await llmDrop(['generate', plain, '--chat', 'hi', '--chat-template', file, ...few])).toMatchObject(said);
    expect(await llmDrop(['chat', plain, '--chat-template', file, ...few], { stdin: 'hi' })).toMatchObject(said);
    const missing = await llmDrop(['chat', plain, '--chat-template', 'nowhere'], { stdin: 'hi' });
    expect(missing.stderr).toBe('error: cannot read nowhere: it does not exist\n');
  });

  it('ends in a sentence where the context is full', async () => {
    const { code, stderr } = await llmDrop(['chat', model, ...few], { stdin: 'word '.repeat(100) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/the model's context is 64/);
  });

  describe('on a terminal', () => {
    /** Types lines and keys, each once that is shown which it waits for, behind what was typed before. */
    async function typed(steps: readonly (readonly [after: string, keys: string])[], ...argv: string[]) {
      const stdin = Object.assign(new PassThrough(), { isTTY: true });
      let [stdout, stderr, shown] = ['', '', ''];
      const left = [...steps];
      const show = (text: string): void => {
        shown += text;
        if (left.length === 0 || !shown.includes(left[0][0])) return;
        const [, keys] = left.shift()!;
        shown = '';
        setImmediate(() => stdin.write(keys));
      };
      const code = await run(['chat', model, '--backend', backend, ...argv], {
        stdout: { write: (text) => ((stdout += text), show(text)) },
        stderr: { write: (text) => ((stderr += text), show(text)), isTTY: true, columns: 80 },
        stdin,
      });
      return { code, stdout, stderr };
    }

    it('knows its own commands, and outlives a message that is too long', async () => {
      const [one] = await answers(['hi']);
      const { code, stdout, stderr } = await typed(
        [
          ['> ', '/help\r'],
          ['begins anew', '/what\r'],
          ['there is no /what', `${'word '.repeat(100)}\r`],
          ['context is 64', 'hi\r'],
          ['answer was cut', '/exit\r'],
        ],
        ...few.slice(0, 2),
      );
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${one}\n` });
      expect(stderr).toContain('the answer was cut: see --max-tokens');
    });

    it('stops an answer at Ctrl-C, and ends at the next', async () => {
      const { stdout: whole } = await llmDrop(['chat', model, '--backend', backend], { stdin: 'hi' });
      const beginning = whole.slice(0, 3);
      const { code, stdout } = await typed([
        ['> ', 'hi\r'],
        [beginning, '\u0003'],
        ['> ', '\u0003'],
      ]);
      expect(code).toBe(0);
      expect(stdout.startsWith(beginning)).toBe(true);
      expect(stdout.length).toBeLessThan(whole.length);
    });
  });
});
