/** Tasks asked of the built-in model: results in lm-eval's shape, two models side by side, and runs that are interrupted. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { evaluateTasks, type EvaluateTasksOptions, type TasksRecord } from '../../src/jobs/index.js';
import { generateText, loadModel } from '../../src/models/index.js';
import { generations } from '../../src/tasks/index.js';
import { temporaryFolder } from '../unit/checkpoint/places.js';

const model = new URL('../../models/tiny-stories', import.meta.url).pathname;
const data = new URL('../fixtures/tasks/rows', import.meta.url).pathname;
const out = join(temporaryFolder(), 'results.json');

let engine: Engine;
beforeAll(async () => void (engine = await createEngine('wasm')));
afterAll(() => {
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
});

const evaluate = (o: Partial<EvaluateTasksOptions>): Promise<TasksRecord> =>
  evaluateTasks(model, { engine, data, ...o });

/** What two runs have in common: all but the time. */
const undated = ({ date: _date, ...record }: TasksRecord): object => record;

it('gives lm-eval’s keys, each sample, and the errors of the means', async () => {
  const record = await evaluate({ tasks: ['arc_easy', 'lambada'], limit: 3 });
  expect(Object.keys(record.results)).toEqual(['arc_easy', 'lambada_openai']);
  const { samples, results } = record;
  const right = samples.arc_easy.map(({ metrics }) => metrics['acc,none']);
  const mean = right.reduce((sum, one) => sum + one, 0) / 3;
  const variance = right.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 2;
  expect(results.arc_easy).toMatchObject({ alias: 'arc_easy', sample_len: 3, 'acc,none': mean });
  expect(results.arc_easy['acc_stderr,none']).toBeCloseTo(Math.sqrt(variance / 3), 12);
  const nats = samples.lambada_openai.map(({ resps }) => (resps as readonly (readonly [number, boolean])[])[0][0]);
  expect(results.lambada_openai['perplexity,none']).toBeCloseTo(Math.exp(-(nats[0] + nats[1] + nats[2]) / 3), 8);
  expect(record['n-shot']).toEqual({ arc_easy: 0, lambada_openai: 0 });
  expect(record['n-samples'].arc_easy).toEqual({ original: 4, effective: 3 });
  expect(record.higher_is_better.lambada_openai).toEqual({ perplexity: false, acc: true });
});

it('compares with itself before a drop, question by question', async () => {
  const drops = { attention: [2, 3, 4, 5], mlp: [3, 4] };
  const record = await evaluate({ tasks: ['arc_easy', 'piqa'], drops, beside: 'whole', shots: 2 });
  const beside = record.beside!;
  expect(record.drop).toEqual(drops);
  expect(beside.drop).toEqual({ attention: [], mlp: [] });
  for (const name of ['arc_easy', 'piqa']) {
    const { difference, gained, lost, questions } = beside.differences[name]['acc,none'];
    const acc = (of: Pick<TasksRecord, 'results'>): number => of.results[name]['acc,none'] as number;
    expect(difference).toBeCloseTo(acc(record) - acc(beside), 12);
    expect(gained - lost).toBe(Math.round(difference * 4));
    for (const question of questions!.gained) {
      expect(record.samples[name][question].metrics['acc,none']).toBe(1);
      expect(beside.samples[name][question].metrics['acc,none']).toBe(0);
    }
  }
  // The other model in a folder of its own gives the same.
  const named = await evaluate({ tasks: ['arc_easy', 'piqa'], drops, beside: model, shots: 2 });
  expect(named.beside).toEqual(beside);
});

it('goes on where it was interrupted, to the same results', async () => {
  const asked = { tasks: ['arc_easy', 'gsm8k', 'mmlu_anatomy'], limit: 2, shots: 1, beside: model };
  const alone = await evaluate(asked);
  for (const stage of ['asking gsm8k', 'asking mmlu_anatomy']) {
    const interrupt = new AbortController();
    let seen = 0;
    const stopped = evaluate({
      ...asked,
      out,
      signal: interrupt.signal,
      // Of both models, the second.
      onProgress: (at) =>
        at.stage === stage && at.done === 1 && ++seen === (stage === 'asking gsm8k' ? 1 : 2) && interrupt.abort(),
    });
    await expect(stopped).rejects.toThrow('aborted');
    expect(existsSync(out)).toBe(false);
    const notes: string[] = [];
    const record = await evaluate({ ...asked, out, onNote: (note) => notes.push(note) });
    expect(notes.join()).toMatch(/continuing from .*results\.json\.tasks\.progress/);
    expect(undated(record)).toEqual(undated(alone));
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(record);
    expect(existsSync(`${out}.tasks.progress`)).toBe(false);
    expect(existsSync(`${out}.beside.progress`)).toBe(false);
    rmSync(out);
  }
});

it('says what does not go together', async () => {
  await expect(evaluate({ tasks: ['arc_easy'], beside: 'whole' })).rejects.toThrow('none is named to drop');
  await expect(evaluate({})).rejects.toThrow('give `tasks` or `preset`');
  await expect(evaluate({ tasks: [] })).rejects.toThrow('`tasks` must be a list of at least 1');
});

it('a preset counts its own examples and averages only what ran', async () => {
  const record = await evaluate({ preset: 'llm-drop', tasks: ['boolq', 'winogrande'], limit: 1 });
  expect(record['n-shot']).toEqual({ boolq: 0, winogrande: 5 });
  expect(record.average).toBeNull();
});

describe('generations', () => {
  it('say side by side what each says alone, and end before a text', async () => {
    await using loaded = await loadModel(model, { engine });
    const tokenizer = await loaded.source.tokenizer();
    const prompts = ['Once upon a time', 'Tom and Lily went to', 'The dog', 'One day, a big red bird'].map((text) =>
      tokenizer.encode(text),
    );
    const said: string[] = [];
    await generations(loaded, tokenizer, prompts, {
      until: ['. '],
      most: 24,
      onText: async (place, text) => void (said[place] = text),
    });
    for (const [i, prompt] of prompts.entries()) {
      const { text } = await generateText({ model: loaded, tokenizer }, prompt, { maxTokens: 24, temperature: 0 });
      expect(said[i]).toBe(text.split('. ')[0]);
    }
  });
});
