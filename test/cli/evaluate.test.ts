/** eval: lm-eval's table, what differs from another model, losses by other measures, and weights larger than memory. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../../src/engine/index.js';
import { loadModel, memoryNeeds } from '../../src/models/index.js';
import { backend, document, llmDrop, stories, temporaryFolder } from './commandLine.js';

const model = resolve(import.meta.dirname, '../../models/tiny-stories');
const data = resolve(import.meta.dirname, '../fixtures/tasks/rows');
const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
writeFileSync(text, stories);

describe('eval --tasks', () => {
  const asking = ['eval', model, '--data', data, '--limit', '2', '--backend', backend];

  it('prints lm-eval’s table, groups set out, and what differs', async () => {
    const drop = ['--drop-attn', '2-5', '--beside', model];
    const { code, stdout, stderr } = await llmDrop([...asking, '--tasks', 'arc_easy,boolq', '--shots', '1', ...drop]);
    expect(stderr).not.toMatch(/error|note/);
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^\| *Tasks *\|Version\|Filter\|n-shot\| *Metric *\| {3}\|Value *\| {3}\|Stderr\|$/);
    expect(lines[1]).toMatch(/^\|-+\|------:\|-+\|-----:\|-+\|---\|-+:\|---\|-+:\|$/);
    expect(lines[2]).toMatch(/^\|arc_easy *\| {6}1\|none *\| {5}1\|acc *\|↑ {2}\|[01]\.\d{4}\|± {2}\|\d\.\d{4}\|$/);
    expect(lines[3]).toMatch(/^\| +\| {7}\|none *\| {5}1\|acc_norm\|/);
    expect(lines[4]).toMatch(/^\|boolq *\| {6}2\|/);
    expect(stdout).toMatch(/\nbeside .*tiny-stories:\ntask +metric +this +other +difference +gained +lost\n/);
    expect(stdout).toMatch(/\narc_easy +acc +[01]\.\d{4} +[01]\.\d{4} +[+-]\d\.\d{4} ± \d\.\d{4} +\d +\d\n/);
  });

  it('gives the same as JSON', async () => {
    const record = await document(...asking, '--tasks', 'piqa');
    expect(record).toMatchObject({ model, results: { piqa: { sample_len: 2 } }, versions: { piqa: 1 } });
  });

  it.each([
    [
      ['--tasks', 'arc_eazy'],
      /error: there is no task "arc_eazy": known are arc_easy, .*, mmlu \(did you mean arc_easy\?\)/,
    ],
    [['--tasks', 'arc_easy', '--text', text], /--text and --tasks exclude each other/],
    [['--tasks', 'arc_easy', '--max-memory', '2GB'], /--max-memory goes with --text alone/],
    [['--tasks', 'arc_easy', '--shots', '40'], /arc_easy has 32 rows for examples, and --shots needs 40/],
    [
      ['--tasks', 'arc_easy', '--beside', 'whole'],
      /--beside whole compares with this model before modules are dropped/,
    ],
    [['--tasks', 'mmlu'], /holds no test rows of mmlu_abstract_algebra/],
    [['--preset', 'paper'], /--preset must be one of llm-drop/],
  ])('%j is refused', async (more, message) => {
    const { code, stdout, stderr } = await llmDrop([...asking, ...more]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('needs to be told what to measure on', async () => {
    expect((await llmDrop(['eval', model])).stderr).toMatch(/eval needs --text <file> or --tasks <name,...>/);
    expect((await llmDrop(['eval', model, '--tasks', 'piqa'])).stderr).toMatch(/--tasks needs --data <dir>/);
  });
});

/** Bytes in which one layer of the model fits with a row, and not all of them. */
async function tooLittle(length: number): Promise<number> {
  using engine = await createEngine('wasm');
  await using opened = await loadModel(model, { engine });
  const { program, row, layer, output } = memoryNeeds(opened, length);
  return Math.ceil(program + row + Math.max(layer, output) + 1);
}

it('compensate measures the same losses where a few weights fit in memory at a time', async () => {
  const dropped = join(folder, 'dropped');
  await document('drop', model, '--drop-mlp', '5', '--out', dropped);
  const length = 32;
  const rows = ['--samples', '2', '--held-out', '2', '--length', String(length)];
  const refit = (out: string, ...more: string[]): Promise<Record<string, unknown>> =>
    document(
      ...['compensate', dropped, '--base', model, '--compensate', 'neighbour', '--calibration', text],
      ...[...rows, '--out', join(folder, out), ...more],
    );
  const loaded = await refit('loaded');
  const streamed = await refit('streamed', '--max-memory', String(await tooLittle(length)));
  expect(streamed.compensation).toEqual(loaded.compensation);
  expect(streamed.loss).toEqual(loaded.loss);
  expect((streamed.compensation as { losses: unknown[] }).losses).toHaveLength(1);
});

describe('eval --text', () => {
  const length = 32;
  const measuring = ['eval', model, '--text', text, '--held-out', '3', '--length', String(length)];

  it('tells the loss by the word and the byte, and from more context by a stride', async () => {
    const record = await document(...measuring);
    const { loss, tokens, words, bytes, bitsPerByte, wordPerplexity } = record as Record<string, number>;
    expect(tokens).toBe(3 * 31);
    // The loss of 93 tokens stands for that of 96, of which the text is made.
    expect(bitsPerByte).toBeCloseTo((loss * 96) / bytes / Math.LN2, 10);
    expect(Math.log(wordPerplexity)).toBeCloseTo((loss * 96) / words, 10);
    const strided = await document(...measuring, '--stride', '8');
    expect(strided).toMatchObject({ stride: 8, tokens: 95, rows: 3 });
    expect(strided.loss).toBeLessThan(loss);
    expect((await llmDrop([...measuring, '--stride', '8', '--bos', 'row'])).stderr).toMatch(
      /--bos row does not go with it/,
    );
  });

  it('is the same, and so is the KL, where a few weights fit in memory at a time', async () => {
    const more = ['--drop-attn', '3', '--kl', model];
    const loaded = await document(...measuring, ...more);
    const most = await tooLittle(length);
    const { stderr } = await llmDrop([...measuring, '--backend', backend, '--max-memory', String(most)]);
    expect(stderr).toMatch(/the weights do not fit in .*: layers are streamed from the disk/);
    const streamed = await document(...measuring, ...more, '--max-memory', String(most));
    expect({ ...streamed, date: '' }).toEqual({ ...loaded, date: '' });
    expect((await llmDrop([...measuring, '--max-memory', '1MB'])).stderr).toMatch(
      /need .* of memory in all, more than/,
    );
  });

  it('a model is no way from itself', async () => {
    const { kl, loss } = await document(...measuring, '--kl', model);
    expect(kl).toMatchObject({ model, mean: 0, p99: 0, agreement: 1, gained: 0, lost: 0 });
    // Summed from logits in float64 here, by a kernel's float32 there.
    expect((kl as { base: { loss: number } }).base.loss).toBeCloseTo(loss as number, 5);
  });
});
