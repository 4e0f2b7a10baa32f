/**
 * Log-likelihoods of tasks' first questions on SmolLM2-135M, beside those of `lm_eval --model hf` in float32
 * (test/oracle/make_task_goldens.py). Needs ../shared.
 */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { loadModel, openModel, type LoadedModel } from '../../src/models/index.js';
import type { Tokenizer } from '../../src/checkpoint/index.js';
import { answersOf, askedQuestions, chosenTasks, taskRows, taskTokens, type Answer } from '../../src/tasks/index.js';

const shared = new URL('../../../shared/', import.meta.url).pathname;
const gguf = `${shared}models/SmolLM2-135M-Instruct/SmolLM2-135M-Instruct.Q4_1.gguf`;
const data = `${shared}data/tasks`;
const there = existsSync(gguf) && existsSync(data);
if (!there) console.warn(`skipped: ${gguf} and ${data} are not there`);

/** By task and question: of each choice, its log-likelihood and whether it is the likeliest; or a text. */
const expected = JSON.parse(
  readFileSync(new URL('../fixtures/tasks/likelihoods.json', import.meta.url), 'utf8'),
) as Record<string, readonly (readonly (readonly [number, boolean])[] | string)[]>;

describe.skipIf(!there)('SmolLM2-135M', () => {
  let engine: Engine, model: LoadedModel, tokenizer: Tokenizer;
  beforeAll(async () => {
    engine = await createEngine('wasm');
    model = await loadModel(await openModel(gguf, { blocks: 'float32' }), { engine });
    tokenizer = await model.source.tokenizer();
  });
  afterAll(async () => {
    await model.close();
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    engine.dispose();
  });

  it.each(Object.entries(expected))('%s: as lm-eval has it', async (name, answers) => {
    const [task] = chosenTasks([name]).tasks;
    const rows = await taskRows(task, data, false);
    const asked = askedQuestions(task, rows, { shots: 0, limit: answers.length });
    const found = await answersOf({ model, tokenizer }, task, taskTokens(tokenizer, task.scoring, asked));
    for (const [i, answer] of answers.entries()) expectAnswer(found[i], answer, task.scoring.kind === 'continuation');
  });
});

function expectAnswer(found: Answer, answer: (typeof expected)[string][number], greedy: boolean): void {
  if (typeof found === 'string' || typeof answer === 'string') return expect(found).toEqual(answer);
  expect(found).toHaveLength(answer.length);
  for (const [i, [sum, all]] of answer.entries()) {
    // Sums of up to a hundred logarithms in float32, each from logits that another order of sums moves by 1e-5.
    expect(Math.abs(found[i].sum - sum)).toBeLessThan(1e-3);
    if (greedy) expect(found[i].greedy).toBe(all);
  }
}
