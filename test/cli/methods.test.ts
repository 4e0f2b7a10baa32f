/** Every way to choose what `drop` drops, the report it leaves, and what it refuses. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calibrationRows } from '../../src/text/index.js';
import { loadTokenizer } from '../../src/checkpoint/index.js';
import {
  angular,
  dropIteratively,
  dropRecordFile,
  gateNormScores,
  scoreImportance,
  searchGreedily,
  selectDrops,
  selectWindow,
  type DropRecord,
} from '../../src/drop/index.js';
import { parseReport } from '../../src/export/modelCard.js';
import { loadModel, type LoadedModel } from '../../src/models/index.js';
import { asCommands, backend, document, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const text = at('stories.txt');
const rowOptions = ['--samples', '6', '--length', '32'];
let path: string;
let rows: Int32Array[];

beforeAll(async () => {
  path = await writeModel(at('model'));
  writeFileSync(text, stories);
  ({ rows } = await calibrationRows(await loadTokenizer(path), [text], { samples: 6, length: 32 }));
});

let made = 0;
/** What `drop --json` prints, and the report in the folder. */
async function drop(...argv: string[]): Promise<Record<string, unknown> & { report: DropRecord }> {
  const out = at(`out-${made++}`);
  const result = await document('drop', path, ...argv, '--out', out);
  return { ...result, report: JSON.parse(readFileSync(join(out, dropRecordFile), 'utf8')) as DropRecord };
}

const measured = ['--calibration', '', ...rowOptions, '--held-out', '4'];
const onText = (...argv: string[]): ReturnType<typeof drop> => drop(...measured.map((word) => word || text), ...argv);

async function withModel<T>(use: (model: LoadedModel) => Promise<T>): Promise<T> {
  await using model = await loadModel(path, asCommands);
  return await use(model);
}

describe('drop', () => {
  it('a window of blocks, as it should be and as LLM-Drop chooses it', async () => {
    const importance = await withModel((model) => scoreImportance(model, rows));
    const window = ['--target', 'block', '--count', '2', '--consecutive'];
    expect(await onText(...window)).toMatchObject({
      method: 'consecutive',
      compat: null,
      drop: selectWindow(importance, 2),
    });
    expect(await onText(...window, '--compat', 'llm-drop')).toMatchObject({
      compat: 'llm-drop',
      drop: selectWindow(importance, 2, { compat: true }),
    });
  });

  it('in rounds', async () => {
    const { drops, rounds } = await withModel((model) =>
      dropIteratively(model, rows, { target: 'joint', count: 3, iterations: 2 }),
    );
    const result = await onText('--target', 'joint', '--count', '3', '--iterations', '2');
    expect(result).toMatchObject({ method: 'iterative', iterations: 2, drop: drops });
    expect(result.rounds).toEqual(JSON.parse(JSON.stringify(rounds)));
  });

  it('by another metric', async () => {
    const importance = await withModel((model) => scoreImportance(model, rows, { metric: angular }));
    expect(await onText('--target', 'mlp', '--count', '2', '--metric', 'angular')).toMatchObject({
      method: 'scores',
      metric: 'angular',
      drop: selectDrops(importance, 'mlp', 2),
    });
  });

  it.each(['loss', 'kl'] as const)('by a greedy search for the least %s', async (objective) => {
    const { drops, steps } = await withModel((model) =>
      searchGreedily(model, rows, { target: 'attention', count: 2, objective }),
    );
    const result = await onText('--target', 'attention', '--count', '2', '--search', `greedy-${objective}`);
    expect(result).toMatchObject({ method: 'greedy', metric: null, search: `greedy-${objective}`, drop: drops, steps });
  });

  it('by Gate-Norm, with a text or without one, or from a file of its scores', async () => {
    const scores = await withModel((model) => gateNormScores(model));
    const weakest = [0, 1, 2, 3].sort((a, b) => scores[b]! - scores[a]!).slice(0, 2);
    const target = ['--target', 'attention', '--count', '2'];
    const expected = { metric: 'gate-norm', drop: { attention: weakest.sort((a, b) => a - b), mlp: [] } };
    const alone = await drop(...target, '--metric', 'gate-norm');
    expect(alone).toMatchObject({ ...expected, calibration: null });
    expect(alone.report.importance!.similarity.attention).toEqual(scores);
    expect(await onText(...target, '--metric', 'gate-norm')).toMatchObject({ ...expected, loss: { rows: 4 } });
    const file = at('gate-norm.json');
    await document('score', path, '--metric', 'gate-norm', '--out', file);
    expect(await drop(...target, '--importance', file)).toMatchObject(expected);
    expect(await onText(...target, '--importance', file)).toMatchObject({ ...expected, loss: { rows: 4 } });
  });

  it('by chance, the same for the same seed', async () => {
    const choose = async (...seed: string[]): Promise<unknown> =>
      (await drop('--target', 'joint', '--count', '4', '--metric', 'random', ...seed)).drop;
    expect(await choose()).toEqual(await choose('--seed', '0'));
    const others = [await choose('--seed', '1'), await choose('--seed', '2'), await choose('--seed', '3')];
    expect(new Set(others.map((drops) => JSON.stringify(drops))).size).toBeGreaterThan(1);
  });

  it('leaves out of a choice by text-free scores what is dropped already', async () => {
    const first = at('first');
    await document('drop', path, '--drop-attn', '0,1', '--out', first);
    const choice = ['--target', 'attention', '--count', '2', '--metric', 'gate-norm'];
    expect((await document('drop', first, ...choice, '--out', at('all'))).drop).toEqual({
      attention: [0, 1, 2, 3],
      mlp: [],
    });
  });
});

describe('drop_report.json', () => {
  it('says how the model came about', async () => {
    const { report, ...result } = await onText('--target', 'attention', '--count', '1', '--keep', '0');
    expect(report).toMatchObject({
      schema: 'llm-drop/drop-report/1',
      model: path,
      method: 'scores',
      target: 'attention',
      count: 1,
      metric: 'cosine',
      search: 'score',
      keepLayers: [0],
      drop: result.drop,
      keep: result.keep,
      calibration: { files: [text], samples: 6, length: 32 },
      loss: result.loss,
      versions: { node: process.versions.node, backend },
    });
    expect(report.importance!.similarity.attention).toHaveLength(4);
  });

  it('has what a model card shows', async () => {
    const { report } = await onText('--drop-mlp', '1');
    expect(report).toMatchObject({ method: 'lists', target: null, metric: null });
    expect(parseReport(report as unknown as Record<string, unknown>, dropRecordFile)).toEqual({
      before: report.before,
      after: report.after,
      loss: report.loss,
    });
  });
});

describe('score --metric', () => {
  it.each(['angular', 'relative-norm'])('%s', async (metric) =>
    expect(await document('score', path, '--calibration', text, ...rowOptions, '--metric', metric)).toMatchObject({
      metric,
    }),
  );

  it('gate-norm needs no text', async () => {
    const scores = await withModel((model) => gateNormScores(model));
    expect(await document('score', path, '--metric', 'gate-norm')).toMatchObject({
      metric: 'gate-norm',
      tokens: 0,
      similarity: { attention: scores, mlp: [null, null, null, null] },
    });
  });
});

describe('what makes no sense together is one sentence', () => {
  const attention = ['--target', 'attention', '--count', '2'];
  const block = ['--target', 'block', '--count', '2'];
  it.each([
    [
      [...attention, '--consecutive'],
      '--consecutive chooses a window of whole blocks, so it needs --target block, not attention',
    ],
    [
      [...block, '--compat', 'llm-drop'],
      '--compat llm-drop is about windows of blocks, so it goes with --consecutive only',
    ],
    [
      [...block, '--search', 'greedy-kl', '--consecutive'],
      '--consecutive chooses by scores, so --search greedy-kl does not go with it',
    ],
    [
      [...block, '--search', 'greedy-kl', '--metric', 'cosine'],
      '--search greedy-kl measures the model itself, so --metric does not go with it',
    ],
    [
      [...block, '--search', 'greedy-loss', '--iterations', '2'],
      '--search greedy-loss looks again after every module, so --iterations does not go with it',
    ],
    [[...block, '--search', 'greedy-loss'], '--search greedy-loss needs --calibration with a text'],
    [
      [...block, '--metric', 'gate-norm'],
      '--metric gate-norm scores attentions only, so it needs --target attention, not block',
    ],
    [
      [...block, '--metric', 'random', '--consecutive'],
      '--consecutive compares what enters and leaves a window, which --metric random does not',
    ],
    [
      [...attention, '--metric', 'gate-norm', '--iterations', '2'],
      '--metric gate-norm does not depend on what was dropped before, so more --iterations than one change nothing',
    ],
    [
      [...block, '--consecutive', '--iterations', '2'],
      '--consecutive drops one window, so --iterations does not go with it',
    ],
    [[...block, '--iterations', '3'], '--iterations 3 cannot drop 2: choose at most one round for each'],
    [[...block, '--seed', '1'], '--seed is of random choices, so it needs --metric random'],
    [
      ['--drop-attn', '1', '--metric', 'angular', '--consecutive'],
      '--drop-attn or --drop-mlp says what to drop, so --metric and --consecutive do not go with it',
    ],
    [
      [...attention, '--importance', 'scores.json', '--metric', 'angular'],
      '--importance holds scores that were made before, so --metric does not go with it',
    ],
  ])('%j', async (argv, sentence) =>
    expect(await llmDrop(['drop', 'm', '--out', at('never'), ...argv])).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: ${sentence}\n`,
    }),
  );

  it('scores without windows choose none', async () => {
    const file = at('no-windows.json');
    const scores = await document('score', path, '--calibration', text, ...rowOptions);
    writeFileSync(file, JSON.stringify({ ...scores, blockConsecutive: [] }));
    const argv = ['drop', path, '--importance', file, '--target', 'block', '--count', '2', '--consecutive'];
    expect((await llmDrop([...argv, '--out', at('never')])).stderr).toBe(
      'error: these scores hold no windows of blocks\n',
    );
  });
});
