/** Many texts at the same time: each gets what it gets alone. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { computeLogits } from '../../src/evaluate/index.js';
import { createModel, createSampler, generate, type Model } from '../../src/models/index.js';
import { Scheduler, type SchedulerOptions } from '../../src/serve/index.js';
import { rank } from '../../src/serve/tokenScores.js';
import { dropSets, modelSpecs } from '../../src/testing/index.js';
import { expectClose } from '../support/expectClose.js';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine('wasm');
});
afterAll(() => engine.dispose());

interface Asked {
  /** Of token ids that are taken modulo the vocabulary. */
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly stop: readonly number[];
  readonly seed: number | undefined;
  /** Turns of the event loop before it comes. */
  readonly after: number;
  /** Tokens after which its client goes away. */
  readonly leaves: number | undefined;
}

/** Few token ids, so that many texts begin alike. */
const asked: fc.Arbitrary<Asked> = fc.record({
  prompt: fc.array(fc.nat(2), { minLength: 1, maxLength: 40 }),
  maxTokens: fc.nat(12),
  stop: fc.uniqueArray(fc.nat(4), { maxLength: 2 }),
  seed: fc.option(fc.nat(1000), { nil: undefined }),
  after: fc.nat(20),
  leaves: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined, freq: 3 }),
});

const options: fc.Arbitrary<SchedulerOptions> = fc.record({
  slots: fc.integer({ min: 1, max: 5 }),
  stepTokens: fc.constantFrom(1, 3, 16, 256),
});

const samplingOf = ({ seed }: Asked): { temperature: number; seed?: number } =>
  seed === undefined ? { temperature: 0 } : { temperature: 1, seed };

async function alone(model: Model, o: Asked): Promise<{ tokens: readonly number[]; stoppedBy: string }> {
  const tokens: number[] = [];
  const left = new AbortController();
  const { stoppedBy } = await generate(model, o.prompt, {
    ...{ maxTokens: o.maxTokens, stopTokens: o.stop, signal: left.signal, ...samplingOf(o) },
    onToken: (token) => tokens.push(token) === o.leaves && left.abort(),
  });
  return { tokens, stoppedBy };
}

async function among(scheduler: Scheduler, o: Asked): Promise<{ tokens: readonly number[]; stoppedBy: string }> {
  for (let turn = 0; turn < o.after; turn++) await new Promise(setImmediate);
  const left = new AbortController();
  let count = 0;
  const { tokens, stoppedBy } = await scheduler.run({
    ...{ prompt: o.prompt, maxTokens: o.maxTokens, stopTokens: new Set(o.stop), signal: left.signal },
    sample: o.seed === undefined ? undefined : createSampler(samplingOf(o)),
    onToken: ({ ends }) => !ends && ++count === o.leaves && left.abort(),
  });
  return { tokens: tokens.filter(({ ends }) => !ends).map(({ token }) => token), stoppedBy };
}

/** The tokens in the model's vocabulary. */
const within = (o: Asked, { config: { vocabSize } }: Model): Asked => ({
  ...o,
  prompt: o.prompt.map((id) => id % vocabSize),
});

/** A text that is over with the token at which its client leaves ends in either way. */
const told = ({ tokens, stoppedBy }: { tokens: readonly number[]; stoppedBy: string }, o: Asked): object => ({
  tokens,
  stoppedBy: tokens.length === o.leaves ? 'left' : stoppedBy,
});

describe('texts that come and go at random', () => {
  it('are those that each is alone, to the bit', () =>
    fc.assert(
      fc.asyncProperty(
        modelSpecs().chain((spec) =>
          fc.record({ spec: fc.constant(spec), drops: dropSets(spec.config.numHiddenLayers ?? 1) }),
        ),
        options,
        fc.array(asked, { minLength: 1, maxLength: 12 }),
        async ({ spec, drops }, o, some) => {
          using model = await createModel(spec.config, { seed: spec.seed, engine });
          model.setDrops(drops);
          const texts = some.map((one) => within(one, model));
          const expected = [];
          for (const one of texts) expected.push(told(await alone(model, one), one));
          await using scheduler = new Scheduler(model, { ...o, drops });
          const made = await Promise.all(texts.map((one) => among(scheduler, one)));
          expect(made.map((one, i) => told(one, texts[i]))).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    ));
});

describe('scores of prompts', () => {
  const scored = fc.record({
    prompt: fc.array(fc.nat(1), { minLength: 1, maxLength: 20 }),
    top: fc.nat(3),
    maxTokens: fc.nat(2),
    after: fc.nat(12),
  });

  it('are those of all logits, also where texts that begin alike were scored before', () =>
    fc.assert(
      fc.asyncProperty(
        modelSpecs(),
        options,
        fc.array(scored, { minLength: 1, maxLength: 12 }),
        async (spec, o, some) => {
          using model = await createModel(spec.config, { seed: spec.seed, engine });
          const { vocabSize } = model.config;
          await using scheduler = new Scheduler(model, o);
          const results = await Promise.all(
            some.map(async ({ after, ...request }) => {
              for (let turn = 0; turn < after; turn++) await new Promise(setImmediate);
              return scheduler.run({ ...request, scorePrompt: true, stopTokens: new Set() });
            }),
          );
          for (const [i, { promptScores, tokens }] of results.entries()) {
            const { prompt, top } = some[i];
            const text = [...prompt, ...tokens.map(({ token }) => token)];
            const { logits } = await computeLogits(model, [text]);
            const expected = text
              .slice(1)
              .map((token, at) => rank(logits.slice(at * vocabSize, (at + 1) * vocabSize), token, Math.max(top, 1)));
            expect(promptScores[0]).toBeUndefined();
            const actual = [...promptScores.slice(1, prompt.length), ...tokens.map(({ score }) => score)];
            expect(actual).toHaveLength(text.length - 1);
            actual.forEach((score, at) => {
              // Kernels add up in float32, and `rank` in float64.
              expectClose([score!.logprob], [expected[at].logprob], 1e-4);
              expect(score!.top).toHaveLength(Math.min(top, vocabSize));
              expectClose(
                score!.top.map(({ logprob }) => logprob),
                expected[at].top.slice(0, top).map(({ logprob }) => logprob),
                1e-4,
              );
            });
          }
        },
      ),
      { numRuns: 40 },
    ));
});
