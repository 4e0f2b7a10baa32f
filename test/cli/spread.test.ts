/** Rows from all over a text, by every command that calibrates. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/checkpoint/index.js';
import { calibrationRows, splitRows } from '../../src/text/index.js';
import { document, llmDrop, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
const rows = ['--samples', '4', '--length', '32', '--spread'];
let model: string;

beforeAll(async () => {
  model = await writeModel(join(folder, 'model'));
  // No two rows are the same.
  const story = (i: number): string => `In the year ${i} there was a dog that ran ${i * 7919} times around a tree. `;
  writeFileSync(text, Array.from({ length: 60 }, (_, i) => story(i)).join('<|endoftext|>'));
});

describe('--spread', () => {
  it('takes rows from all over the text, for every command that calibrates, and is recorded', async () => {
    const scored = join(folder, 'importance.json');
    const first = await document('score', model, '--calibration', text, ...rows.slice(0, 4));
    const scores = await document('score', model, '--calibration', text, ...rows, '--out', scored);
    expect([scores.spread, first.spread]).toEqual([true, undefined]);
    expect(scores.similarity).not.toEqual(first.similarity);
    const o = { samples: 4, length: 32, spread: true } as const;
    const tokenizer = await loadTokenizer(model);
    const { calibration, heldOut } = await splitRows(tokenizer, [text], { ...o, heldOut: 3 });
    expect((await calibrationRows(tokenizer, [text], o)).rows).toEqual(calibration);
    expect(heldOut).toHaveLength(3);

    const drop = ['--target', 'attention', '--count', '1', '--held-out', '3', '--calibration', text];
    const dropped = join(folder, 'dropped');
    const report = await document('drop', model, ...drop, ...rows, '--out', dropped);
    expect(report.calibration).toEqual({ files: [text], samples: 4, length: 32, spread: true });
    expect((report.loss as { rows: number }).rows).toBe(3);
    // The scores' own rows are known: they are none of those that are measured on.
    const again = await document('drop', model, ...drop, '--importance', scored, '--out', join(folder, 'by-scores'));
    expect(again.loss).toEqual(report.loss);

    const refit = await document(
      'compensate',
      dropped,
      '--base',
      model,
      '--calibration',
      text,
      ...rows,
      '--held-out',
      '3',
      '--out',
      join(folder, 'refit'),
    );
    expect(refit.compensation).toMatchObject({ calibration: { spread: true } });
    const int4 = await document(
      'quantize',
      model,
      '--group-size',
      '-1',
      '--calibration',
      text,
      ...rows,
      '--held-out',
      '3',
      '--out',
      join(folder, 'int4'),
    );
    expect(int4.calibration).toMatchObject({ spread: true });
    const swept = await document(
      'sweep',
      model,
      '--calibration',
      text,
      ...rows,
      '--held-out',
      '3',
      '--target',
      'attention',
      '--count',
      '1',
      '--speed-rounds',
      '0',
    );
    expect(swept).toMatchObject({ spread: true, samples: 4 });
    const recipe = join(folder, 'recipe.json');
    const calibration_ = { files: [text], samples: 4, length: 32, heldOut: 3, spread: true };
    writeFileSync(recipe, JSON.stringify({ calibration: calibration_, drop: { target: 'attention', count: 1 } }));
    await document('compress', model, '--recipe', recipe, '--out', join(folder, 'compressed'));
    const [made, told] = ['recipe.json', 'drop_report.json'].map(
      (name) => JSON.parse(readFileSync(join(folder, 'compressed', name), 'utf8')) as Record<string, unknown>,
    );
    expect(made.calibration).toMatchObject({ spread: true });
    expect([told.calibration, told.loss]).toEqual([report.calibration, report.loss]);
  });

  it('does not go with scores of the first rows, nor with none', async () => {
    const scored = join(folder, 'first.json');
    await document('score', model, '--calibration', text, ...rows.slice(0, 4), '--out', scored);
    const drop = [
      'drop',
      model,
      '--importance',
      scored,
      '--calibration',
      text,
      '--spread',
      '--target',
      'mlp',
      '--count',
      '1',
      '--out',
      join(folder, 'no'),
    ];
    expect((await llmDrop(drop)).stderr).toMatch(
      /^error: --importance holds scores of the first rows of a text, so --spread does not go with it \(score with --spread, too\)\n$/,
    );
    expect((await llmDrop(['score', model, '--metric', 'gate-norm', '--spread'])).stderr).toContain(
      'so --spread does not go with it',
    );
  });
});
