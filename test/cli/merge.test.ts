/** Scores of shards, joined to those of one run. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { backend, document, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
const rows = ['--samples', '7', '--length', '16'];
const part = (i: number): string => join(folder, `part-${i}.json`);
let model: string;
beforeAll(async () => {
  model = await writeModel(join(folder, 'model'));
  writeFileSync(text, stories);
  for (const i of [1, 2, 3])
    await document('score', model, '--calibration', text, ...rows, '--shard', `${i}/3`, '--out', part(i));
});

const failure = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await llmDrop([...argv, '--backend', backend]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  return stderr;
};

describe('merge', () => {
  it('gives the scores of one run, whatever the order of the files', async () => {
    const whole = await document('score', model, '--calibration', text, ...rows);
    const out = join(folder, 'importance.json');
    const merged = await document('merge', part(3), part(1), part(2), '--out', out);
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(merged);
    expect(Object.keys(merged).sort()).toEqual(Object.keys(whole).sort());
    const numbers = ({ similarity, blockConsecutive }: Record<string, unknown>): (number | null)[] =>
      [...Object.values(similarity as object), ...(blockConsecutive as unknown[])].flat() as (number | null)[];
    numbers(merged).forEach((value, i) => {
      const other = numbers(whole)[i];
      if (other === null || value === null) expect(value).toBe(other);
      else expect(Math.abs(value - other)).toBeLessThan(1e-12);
    });
    expect(merged).toMatchObject({ samples: 7, length: 16, tokens: 112, model, drawnFrom: 7 });
    const plan = await document(
      'drop',
      model,
      '--importance',
      out,
      '--target',
      'mlp',
      '--count',
      '1',
      '--out',
      join(folder, 'smaller'),
    );
    expect(plan).toMatchObject({ count: 1 });
  });

  it('leaves no progress behind', () => {
    expect(readdirSync(folder).filter((name) => name.includes('progress') || name.includes('partial'))).toEqual([]);
  });

  it('wants all shards of one run, each once', async () => {
    expect(await failure('merge', part(1), part(3))).toMatch(/^error: shard 2 of 3 is missing/);
    expect(await failure('merge', part(1), part(2), part(2), part(3))).toMatch(/are both shard 2 of 3/);
    const other = join(folder, 'other.json');
    await document(
      'score',
      model,
      '--calibration',
      text,
      '--samples',
      '8',
      '--length',
      '16',
      '--shard',
      '2/3',
      '--out',
      other,
    );
    expect(await failure('merge', part(1), other, part(3))).toMatch(
      /other\.json does not belong to .*part-1\.json: they differ in calibration tokens/,
    );
    const whole = join(folder, 'whole.json');
    await document('score', model, '--calibration', text, ...rows, '--out', whole);
    expect(await failure('merge', whole, part(1))).toMatch(/holds whole scores, not those of a shard/);
    expect(await failure('merge', text)).toMatch(/is not valid JSON/);
  });

  it('and score say what they need', async () => {
    const score = ['score', model, '--calibration', text, ...rows];
    expect(await failure(...score, '--shard', '4/3', '--out', part(4))).toMatch(/--shard must be a part such as 3\/16/);
    expect(await failure(...score, '--shard', '1/3')).toMatch(/--shard needs --out/);
    expect(await failure(...score, '--shard', '1/8', '--out', part(4))).toMatch(
      /8 shards are more than there are rows: 7/,
    );
    expect(await failure(...score, '--max-memory', 'much')).toMatch(/--max-memory must be a size such as 2GB/);
    expect(await failure(...score, '--max-memory', '1MB')).toMatch(/a layer of .* more than/);
    expect(await failure(...score, '--gap', '0')).toMatch(
      /--gap must be whole numbers of at least 1, such as 1,8, found "0"/,
    );
    expect(existsSync(part(4))).toBe(false);
  });
});
