import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../../src/engine/index.js';
import { createModel, generate, type Model } from '../../../src/models/index.js';
import {
  ClosingError,
  QueueFullError,
  Scheduler,
  type SequenceRequest,
  type StepRecord,
} from '../../../src/serve/index.js';

let engine: Engine;
let model: Model;
beforeAll(async () => {
  engine = await createEngine('wasm');
  model = await createModel(
    {
      ...{ modelType: 'llama', numHiddenLayers: 3, numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 16 },
      ...{ hiddenSize: 64, intermediateSize: 160, vocabSize: 300, maxPositionEmbeddings: 512 },
    },
    { seed: 5, engine },
  );
});
afterAll(() => {
  model.dispose();
  engine.dispose();
});

/** A step is told of once it is over, which is after its texts have ended. */
const stepOver = (): Promise<void> => new Promise(setImmediate);

/** Tokens that no two seeds share. */
const tokens = (seed: number, length: number): number[] =>
  Array.from({ length }, (_, i) => (seed * 131 + i * i * 17 + 7 * i) % 300);

const request = (prompt: readonly number[], more: Partial<SequenceRequest> = {}): SequenceRequest => ({
  prompt,
  maxTokens: 8,
  stopTokens: new Set(),
  ...more,
});

it('the greedy text of a request is the same alone and among 63 others', async () => {
  const prompts = Array.from({ length: 64 }, (_, i) => tokens(i, 1 + ((i * 37) % 90)));
  const alone = [];
  for (const prompt of prompts.slice(0, 8)) alone.push((await generate(model, prompt, { maxTokens: 12 })).tokens);
  await using scheduler = new Scheduler(model, { slots: 64 });
  const among = await Promise.all(prompts.map((prompt) => scheduler.run(request(prompt, { maxTokens: 12 }))));
  expect(among.slice(0, 8).map(({ tokens: made }) => made.map(({ token }) => token))).toEqual(alone);
});

describe('steps', () => {
  it('hold the tokens of those that decode, and no more than the budget of prompts', async () => {
    const steps: StepRecord[] = [];
    await using scheduler = new Scheduler(model, { slots: 4, stepTokens: 32, onStep: (step) => steps.push(step) });
    const made: number[] = [];
    const decoding = scheduler.run(
      request(tokens(1, 4), { maxTokens: 30, onToken: () => void made.push(steps.length) }),
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all([decoding, ...[2, 3, 4].map((i) => scheduler.run(request(tokens(i, 200))))]);
    expect(Math.max(...steps.map((step) => step.tokens))).toBe(32);
    // Ever a step, never a step without its token.
    expect(made.slice(1).map((at, i) => at - made[i])).toEqual(made.slice(1).map(() => 1));
  });

  it('are one for prompts that come at the same time', async () => {
    const steps: StepRecord[] = [];
    await using scheduler = new Scheduler(model, { slots: 8, onStep: (step) => steps.push(step) });
    await Promise.all(Array.from({ length: 8 }, (_, i) => scheduler.run(request(tokens(i, 20), { maxTokens: 1 }))));
    await stepOver();
    expect(steps.map((step) => step.sequences)).toEqual([8]);
  });
});

describe('what was computed', () => {
  it('is not computed again for a text that goes on', async () => {
    const steps: StepRecord[] = [];
    await using scheduler = new Scheduler(model, { slots: 2, onStep: (step) => steps.push(step) });
    const first = tokens(1, 50);
    const { tokens: made } = await scheduler.run(request(first, { maxTokens: 10 }));
    const longer = [...first, ...made.map(({ token }) => token), ...tokens(9, 6)];
    await stepOver();
    steps.length = 0;
    const { reused } = await scheduler.run(request(longer, { maxTokens: 1 }));
    expect(reused).toBe(59); // the last token that was made has not run
    await stepOver();
    expect(steps.map((step) => step.tokens)).toEqual([longer.length - 59]);
  });

  it('serves texts that begin alike and come together: one waits for another that is about to end', async () => {
    const steps: StepRecord[] = [];
    await using scheduler = new Scheduler(model, { slots: 8, onStep: (step) => steps.push(step) });
    const context = tokens(3, 60);
    const choices = [1, 2, 3, 4].map((i) => [...context, ...tokens(20 + i, 5)]);
    const score = { maxTokens: 1, scorePrompt: true, top: 1 };
    const together = await Promise.all(choices.map((prompt) => scheduler.run(request(prompt, score))));
    await stepOver();
    expect(steps.reduce((sum, step) => sum + step.tokens, 0)).toBe(65 + 3 * 6);
    await using apart = new Scheduler(model, { slots: 8 });
    for (const [i, prompt] of choices.entries()) {
      const { promptScores, reused } = await apart.run(request([0, ...prompt].slice(1), score));
      expect(together[i].promptScores).toEqual(promptScores);
      expect(reused).toBe(i === 0 ? 0 : 59);
    }
  });

  it('stays where another text needs a slot and there are empty ones', async () => {
    await using scheduler = new Scheduler(model, { slots: 2 });
    await scheduler.run(request(tokens(1, 40)));
    await scheduler.run(request(tokens(2, 40)));
    expect((await scheduler.run(request(tokens(1, 40)))).reused).toBe(38);
    expect((await scheduler.run(request(tokens(2, 40)))).reused).toBe(38);
  });
});

describe('a client that goes away', () => {
  it('frees its slot within a step', async () => {
    await using scheduler = new Scheduler(model, { slots: 1 });
    const left = new AbortController();
    let made = 0;
    const long = scheduler.run(
      request(tokens(1, 10), { maxTokens: 400, signal: left.signal, onToken: () => ++made === 3 && left.abort() }),
    );
    const next = scheduler.run(request(tokens(2, 10), { maxTokens: 1 }));
    expect(await long).toMatchObject({ stoppedBy: 'signal', tokens: { length: 3 } });
    await next;
    expect(made).toBe(3);
  });

  it('leaves the queue', async () => {
    await using scheduler = new Scheduler(model, { slots: 1 });
    const left = new AbortController();
    const first = scheduler.run(request(tokens(1, 10), { maxTokens: 20 }));
    const second = scheduler.run(request(tokens(2, 10), { signal: left.signal }));
    left.abort();
    expect(await second).toMatchObject({ stoppedBy: 'signal', tokens: [] });
    await first;
  });
});

describe('the queue', () => {
  it('refuses what is more than it holds', async () => {
    await using scheduler = new Scheduler(model, { slots: 1, queue: 2 });
    const three = [1, 2, 3].map((i) => scheduler.run(request(tokens(i, 10))));
    await expect(scheduler.run(request(tokens(4, 10)))).rejects.toThrow(QueueFullError);
    await Promise.all(three);
    await scheduler.run(request(tokens(4, 10)));
    expect(() => scheduler.check([[1], [1], [1], [1]], 1, 1)).toThrow('a request may be of 3 texts at most');
  });

  it('passes nobody over for ever', async () => {
    await using scheduler = new Scheduler(model, { slots: 1, queue: 1000 });
    const shared = tokens(1, 40);
    const order: string[] = [];
    const run = async (name: string, prompt: number[]): Promise<void> => {
      await scheduler.run(request(prompt, { maxTokens: 1 }));
      order.push(name);
    };
    await Promise.all([
      run('first', shared),
      run('other', tokens(2, 40)),
      ...Array.from({ length: 30 }, (_, i) => run('alike', [...shared, i])),
    ]);
    expect(order.indexOf('other')).toBeGreaterThan(1); // they do go first
    expect(order.indexOf('other')).toBeLessThan(12);
  });
});

it('close lets those under way end, takes no others, and frees the cache', async () => {
  const before = engine.memory();
  const scheduler = new Scheduler(model, { slots: 2 });
  const under = scheduler.run(request(tokens(1, 10)));
  const closed = scheduler.close();
  await expect(scheduler.run(request([1]))).rejects.toThrow(ClosingError);
  expect((await under).tokens).toHaveLength(8);
  await closed;
  expect(engine.memory()).toEqual(before);
});

it('two schedulers with other drops run side by side on the same weights', async () => {
  const drops = { attention: [1], mlp: [2] };
  const prompt = tokens(7, 30);
  const whole = await generate(model, prompt, { maxTokens: 12 });
  model.setDrops(drops);
  const dropped = await generate(model, prompt, { maxTokens: 12 });
  model.setDrops({ attention: [], mlp: [] });
  await using a = new Scheduler(model, { slots: 2, drops: { attention: [], mlp: [] } });
  await using b = new Scheduler(model, { slots: 2, drops });
  const [ofA, ofB] = await Promise.all([a, b].map((one) => one.run(request(prompt, { maxTokens: 12 }))));
  expect(ofA.tokens.map(({ token }) => token)).toEqual(whole.tokens);
  expect(ofB.tokens.map(({ token }) => token)).toEqual(dropped.tokens);
  expect(whole.tokens).not.toEqual(dropped.tokens);
  model.setDrops({ attention: [], mlp: [] });
});

it('keys that were turned for a longer text are not taken for a shorter one', async () => {
  using stretched = await createModel(
    {
      ...{ modelType: 'llama', numHiddenLayers: 2, numAttentionHeads: 2, numKeyValueHeads: 2, headDim: 16 },
      ...{ hiddenSize: 32, intermediateSize: 64, vocabSize: 300, maxPositionEmbeddings: 16 },
      rope: { type: 'dynamic', theta: 10000, factor: 4, maxPositions: 16 },
    },
    { seed: 3, engine },
  );
  await using scheduler = new Scheduler(stretched, { slots: 1, context: 100 });
  const long = tokens(1, 60);
  for (const prompt of [long, long.slice(0, 12), long.slice(0, 30)]) {
    const { tokens: made, reused } = await scheduler.run(request(prompt));
    const alone = await generate(stretched, prompt, { maxTokens: 8 });
    expect(made.map(({ token }) => token)).toEqual(alone.tokens);
    expect(reused).toBe(0);
  }
});
