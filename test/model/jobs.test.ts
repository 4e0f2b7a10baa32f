/** The jobs as a library has them: one call each, on the built-in model. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/checkpoint/index.js';
import { scoreImportance } from '../../src/drop/index.js';
import { createEngine } from '../../src/engine/index.js';
import { evaluateLoss } from '../../src/evaluate/index.js';
import {
  dropModules,
  exportCheckpoint,
  quantizeCheckpoint,
  refitModel,
  scoreModel,
  sweepModel,
  type JobProgress,
} from '../../src/jobs/index.js';
import { loadModel } from '../../src/models/index.js';
import { calibrationRows } from '../../src/text/index.js';

const model = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url));
const calibration = [join(model, 'calibration.txt')];
const folder = mkdtempSync(join(tmpdir(), 'llm-drop-jobs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const json = (...path: string[]): Record<string, unknown> =>
  JSON.parse(readFileSync(at(join(...path)), 'utf8')) as Record<string, unknown>;

const text = { calibration, samples: 3, length: 32, heldOut: 2, threads: 1 };

/** Rows as the jobs make them. */
async function rowsOf(samples: number, skip = 0): Promise<Int32Array[]> {
  const { rows } = await calibrationRows(await loadTokenizer(model), calibration, { samples, skip, length: 32 });
  return rows;
}

/** The stages that were told, in their order; each is told as it begins and ends with all that there was. */
class Told {
  readonly all: JobProgress[] = [];
  readonly onProgress = (progress: JobProgress): void => void this.all.push(progress);

  get stages(): string[] {
    return this.all.filter(({ total }) => total === 0).map(({ stage }) => stage);
  }

  expectOrdered(): void {
    let stage = '';
    for (const told of this.all) {
      if (told.total === 0) stage = told.stage;
      expect(told.stage).toBe(stage);
      expect(told.done).toBeLessThanOrEqual(told.total);
    }
  }
}

/** Aborts at the n-th time that a stage tells something of itself. */
function abortedAt(stage: string, n: number): { onProgress: (p: JobProgress) => void; signal: AbortSignal } {
  const controller = new AbortController();
  let told = 0;
  const onProgress = (progress: JobProgress): void => {
    if (progress.stage === stage && progress.total > 0 && ++told === n) controller.abort(Error('enough'));
  };
  return { onProgress, signal: controller.signal };
}

it('scoreModel gives what scoring the same rows gives, and tells its stages', async () => {
  const told = new Told();
  const { onProgress } = told;
  const record = await scoreModel(model, { ...text, out: at('scores.json'), onProgress });
  await using loaded = await loadModel(model, { threads: 1 });
  const { similarity, blockConsecutive } = await scoreImportance(loaded, await rowsOf(3));
  expect(record).toMatchObject({ similarity, blockConsecutive, samples: 3, length: 32, drawnFrom: 3, model });
  expect(json('scores.json')).toEqual(JSON.parse(JSON.stringify(record)));
  expect(told.stages).toEqual(['loading', 'tokenizing', 'scoring']);
  told.expectOrdered();
});

it('scoreModel goes on where it was interrupted', async () => {
  const whole = await scoreModel(model, text);
  const out = at('cut.json');
  await expect(scoreModel(model, { ...text, out, ...abortedAt('scoring', 1) })).rejects.toThrow('enough');
  const notes: string[] = [];
  const { similarity } = await scoreModel(model, { ...text, out, onNote: (note) => notes.push(note) });
  expect(notes).toEqual([`continuing from ${out}.progress, at row 1`]);
  expect(similarity).toEqual(whole.similarity);
  expect(existsSync(`${out}.progress`)).toBe(false);
});

describe('dropModules', () => {
  it('takes the scores of scoreModel, and writes what it returns', async () => {
    const importance = await scoreModel(model, text);
    const out = at('scored');
    const {
      out: where,
      configOnly,
      notes,
      ...record
    } = await dropModules(model, {
      ...{ importance, target: 'attention', count: 2, out },
    });
    expect({ where, configOnly, notes }).toEqual({
      ...{ where: out, configOnly: false, notes: ['no loss is measured without `calibration`'] },
    });
    expect(json('scored', 'drop_report.json')).toEqual(JSON.parse(JSON.stringify(record)));
    expect(json('scored', 'config.json').drop_attn_list).toEqual(record.drop.attention);
    expect(record).toMatchObject({ method: 'scores', target: 'attention', count: 2, calibration: null });
  });

  it('measures on an engine that is there, which stays', async () => {
    using engine = await createEngine('wasm', { threads: 1 });
    const drops = { attention: [3], mlp: [5] };
    const { loss } = await dropModules(model, { ...text, engine, drops, out: at('named') });
    await using dropped = await loadModel(at('named'), { engine });
    expect((await evaluateLoss(dropped, await rowsOf(2, 3))).loss).toBe(loss!.after);
  });

  it('goes on with a search that was interrupted', async () => {
    const search = { ...text, target: 'mlp', count: 2, search: 'greedy-loss' } as const;
    const whole = await dropModules(model, { ...search, out: at('searched') });
    const out = at('search-cut');
    await expect(dropModules(model, { ...search, out, ...abortedAt('searching', 5) })).rejects.toThrow('enough');
    const notes: string[] = [];
    const { steps } = await dropModules(model, { ...search, out, onNote: (note) => notes.push(note) });
    expect(notes).toEqual(['continuing a search behind 1 of 2 steps']);
    expect(steps).toEqual(whole.steps);
    expect(existsSync(`${out}.progress`)).toBe(false);
  });
});

it('refitModel gives what dropModules with compensate gives', async () => {
  const drops = { attention: [2], mlp: [7] };
  await dropModules(model, { drops, out: at('plain') });
  const direct = await dropModules(model, { ...text, drops, compensate: 'all', out: at('direct') });
  const refit = await refitModel(at('plain'), { ...text, base: model, out: at('refit') });
  expect(refit.compensation).toEqual(direct.compensation);
  expect(refit.loss).toEqual(direct.loss);
  const weights = (name: string): Buffer => readFileSync(at(join(name, 'model.safetensors')));
  expect(weights('refit')).toEqual(weights('direct'));
  expect(weights('refit')).not.toEqual(weights('plain'));
});

it('quantizeCheckpoint writes what it returns, and the loss is that of the folder', async () => {
  const o = {
    method: 'rtn',
    groupSize: 32,
    texts: calibration,
    samples: 3,
    length: 32,
    heldOut: 2,
    threads: 1,
  } as const;
  const { out, notes, ...record } = await quantizeCheckpoint(model, { ...o, out: at('int4') });
  expect({ out, notes }).toEqual({ out: at('int4'), notes: [] });
  expect(json('int4', 'quantize_report.json')).toEqual(JSON.parse(JSON.stringify(record)));
  expect(record).toMatchObject({ method: 'rtn', format: 'compressed-tensors', symmetric: true, calibration: null });
  await using quantized = await loadModel(at('int4'), { threads: 1, int4: 'exact' });
  const { loss } = await evaluateLoss(quantized, await rowsOf(2, 3));
  // The report's model holds the same numbers as floats, whose sums are taken in another order.
  expect(Math.abs(loss - record.losses[0].after)).toBeLessThan(1e-3);
  expect(record.losses[0].after).not.toBe(record.losses[0].before);
});

it('sweepModel saves each point, goes on from there, and chooses within a budget', async () => {
  const o = { ...text, targets: ['attention'], speedRounds: 0, out: at('sweep.json') } as const;
  await sweepModel(model, { ...o, counts: [1] });
  const notes: string[] = [];
  const record = await sweepModel(model, {
    ...{ ...o, counts: [1, 3], budget: 'parameters=0.95', resume: true },
    onNote: (note) => notes.push(note),
  });
  expect(notes).toEqual([`${at('sweep.json')}: going on from 1 points`]);
  expect(record.points.map(({ target, count }) => [target, count])).toEqual([
    ['attention', 1],
    ['attention', 3],
  ]);
  expect(record.choice?.command).toMatch(/^llm-drop drop \S+ --drop-attn \S+ --out tiny-stories-attention-3$/);
  expect(json('sweep.json')).toEqual(JSON.parse(JSON.stringify(record)));
});

it('exportCheckpoint writes a file whose logits are the model’s', async () => {
  const told = new Told();
  const { onProgress } = told;
  const record = await exportCheckpoint(model, { to: 'gguf', out: at('tiny.gguf'), threads: 1, onProgress });
  expect(record).toMatchObject({ model, to: 'gguf', architecture: 'llama', files: ['tiny.gguf', 'tiny.md'] });
  expect(record.proof.largestDifference).toBeLessThan(1e-3);
  expect(existsSync(at('tiny.gguf'))).toBe(true);
  expect(told.stages).toEqual(['exporting']);
});

describe('options are called by their names where they', () => {
  const out = at('never');
  it.each([
    [
      'say nothing',
      () => dropModules(model, { out }),
      'give `target` and `count`, or `drops.attention` or `drops.mlp`',
    ],
    [
      'exclude each other',
      () => dropModules(model, { out, drops: { mlp: [1] }, seed: 1 }),
      '`drops.attention` or `drops.mlp` says what to drop, so `seed` does not go with it',
    ],
    ['name no layer', () => dropModules(model, { out, drops: { mlp: [12] } }), '`drops.mlp` names layer 12'],
    ['need another', () => quantizeCheckpoint(model, { out }), '`method` gptq needs `calibration` with a text'],
    [
      'ask for too much',
      () => quantizeCheckpoint(model, { out, method: 'rtn', groupSize: 32, head: true }),
      'leave `head` out',
    ],
    ['are of no use', () => sweepModel(model, { calibration, resume: true }), 'so it needs `out`'],
    ['would write over something', () => dropModules(model, { out: folder, drops: { mlp: [1] } }), 'give `overwrite`'],
    ['would write over what is read', () => dropModules(model, { out: model, drops: { mlp: [1] } }), 'it is read'],
    ['leave a base out', () => refitModel(model, { ...text, out }), 'has dropped nothing'],
  ])('%s', async (_, job, sentence) => {
    await expect(job()).rejects.toThrow(sentence);
    expect(existsSync(out)).toBe(false);
  });
});
