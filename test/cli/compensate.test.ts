/** `drop --compensate` and `compensate`: what they write and say, what they refuse, and that a killed run goes on. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CompensationRecord, DropRecord } from '../../src/drop/index.js';
import { built } from './builtProgram.js';
import { document, llmDrop, root, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const [model, text] = [join(folder, 'model'), join(folder, 'stories.txt')];
const rows = ['--samples', '12', '--length', '32', '--held-out', '4'];
beforeAll(async () => {
  await writeModel(model);
  writeFileSync(text, stories);
});

type Report = DropRecord & { compensation: CompensationRecord };
const dropping = (out: string, ...more: string[]): Promise<Record<string, unknown>> =>
  document('drop', model, '--calibration', text, ...rows, '--drop-attn', '1', '--drop-mlp', '2', '--out', out, ...more);
const compensating = (from: string, out: string, ...more: string[]): Promise<Record<string, unknown>> =>
  document('compensate', from, '--calibration', text, ...rows, '--out', out, ...more);
const weightsOf = (out: string): Buffer => readFileSync(join(out, 'model.safetensors'));
const lossOf = async (path: string): Promise<number> =>
  (await document('eval', path, '--text', text, '--held-out', '4', '--length', '32')).loss as number;

describe('drop --compensate', () => {
  it('writes a model of the same size whose loss is the one reported', async () => {
    const [plain, out] = [join(folder, 'plain'), join(folder, 'refit')];
    const before = (await dropping(plain)) as unknown as Report;
    const after = (await dropping(out, '--compensate', 'all')) as unknown as Report;
    const { compensation } = after;
    expect(compensation).toMatchObject({
      mode: 'all',
      alpha: 1,
      leftAlone: [],
      calibration: { samples: 12, length: 32 },
    });
    expect(compensation.refits.map(({ tensor }) => tensor)).toEqual(
      ['0.mlp.down', '1.mlp.down', '2.self_attn.o', '3.self_attn.o', '3.mlp.down'].map(
        (name) => `model.layers.${name}_proj.weight`,
      ),
    );
    for (const { errorBefore, errorAfter } of compensation.refits) expect(errorAfter).toBeLessThanOrEqual(errorBefore);
    const [loss] = compensation.losses;
    expect(before.loss).toMatchObject({ before: loss.whole, after: loss.dropped });
    expect(after.loss).toMatchObject({ before: loss.whole, after: loss.refit });
    // A random model may be the better for a drop: then there is no cost of which a share could come back.
    expect(loss.recovered === null).toBe(loss.dropped <= loss.whole);
    expect(after.after).toEqual(before.after);
    expect(weightsOf(out)).toHaveLength(weightsOf(plain).length);
    expect(weightsOf(out)).not.toEqual(weightsOf(plain));
    const written = JSON.parse(readFileSync(join(out, 'drop_report.json'), 'utf8')) as Report;
    expect(written.compensation).toEqual(compensation);
    expect(existsSync(`${out}.refit.progress`)).toBe(false);
    expect(existsSync(`${out}.refit.progress.streams`)).toBe(false);
  });

  it('neighbours only, and another alpha', async () => {
    const out = join(folder, 'neighbours');
    const { compensation } = (await dropping(out, '--compensate', 'neighbour', '--alpha', '0.5')) as unknown as Report;
    expect(compensation.alpha).toBe(0.5);
    expect(compensation.refits.map(({ layer, kind }) => `${kind} ${layer}`)).toEqual(['mlp 0', 'attention 2']);
  });
});

describe('compensate', () => {
  it('gives what drop --compensate gives, from the folder that drop has written and the whole model', async () => {
    const [plain, direct, later] = ['from', 'direct', 'later'].map((name) => join(folder, name));
    await dropping(plain);
    const expected = (await dropping(direct, '--compensate', 'all')) as unknown as Report;
    const found = (await compensating(plain, later, '--base', model)) as unknown as Report;
    expect(weightsOf(later)).toEqual(weightsOf(direct));
    expect(found.compensation.losses).toEqual(expected.compensation.losses);
    expect(found.drop).toEqual({ attention: [1], mlp: [2] });
    expect(readFileSync(join(later, 'config.json'), 'utf8')).toBe(readFileSync(join(plain, 'config.json'), 'utf8'));
    expect(await lossOf(later)).toBe(await lossOf(direct));
  });

  it('needs no --base where the weights lie there still', async () => {
    const [laid, lists, out] = ['laid-over', 'lists', 'laid-over-refit'].map((name) => join(folder, name));
    await dropping(lists, '--config-only');
    cpSync(model, laid, { recursive: true });
    cpSync(lists, laid, { recursive: true });
    await compensating(laid, out);
    expect(weightsOf(out)).toEqual(weightsOf(join(folder, 'direct')));
  });

  it('measures each --text, on rows that the fit has not seen', async () => {
    const other = join(folder, 'other.txt');
    writeFileSync(other, stories.replaceAll('girl', 'boy'));
    const out = join(folder, 'texts');
    const { compensation } = (await compensating(
      join(folder, 'from'),
      out,
      ...['--base', model, '--text', text, '--text', other],
    )) as unknown as Report;
    expect(compensation.losses.map(({ name, rows: count }) => [name, count])).toEqual([
      [text, 4],
      [other, 4],
    ]);
  });

  it('says for people what came back', async () => {
    const out = join(folder, 'people');
    const argv = ['compensate', join(folder, 'from'), '--base', model, '--calibration', text, ...rows, '--out', out];
    const { code, stdout } = await llmDrop(argv);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^refit 5 output projections \(all, alpha 1\)$/m);
    expect(stdout).toMatch(/^held out \(4 rows\)( +\d\.\d{4}){3} +[+-]0\.\d{4} ± 0\.\d{4}( +-?\d+\.\d%)?$/m);
  });
});

describe('is refused in one sentence:', () => {
  const drop = (...more: string[]): string[] => [
    'drop',
    model,
    '--drop-attn',
    '1',
    '--out',
    join(folder, 'no'),
    ...more,
  ];
  const refit = (from: string, ...more: string[]): string[] => [
    ...['compensate', from, '--calibration', text, ...rows, '--out', join(folder, 'no'), ...more],
  ];
  it.each([
    ['no text', () => drop('--compensate', 'all'), /^error: a refit is fitted on a text \(give --calibration/],
    [
      'lists alone',
      () => drop('--compensate', 'all', '--calibration', text, '--config-only'),
      /--compensate writes weights, so --config-only does not go with it/,
    ],
    ['alpha alone', () => drop('--alpha', '2'), /--alpha says how --compensate refits/],
    ['4 bits', () => drop('--compensate', 'all', '--calibration', text, '--int4'), /--int4 does not go with it/],
    ['a mode', () => drop('--compensate', 'some'), /--compensate must be one of neighbour, all, found "some"/],
    ['nothing dropped', () => refit(model), /has dropped nothing/],
    ['weights gone', () => refit(join(folder, 'from')), /does not hold model\.layers\.1\.\S+, .* --base/],
    ['a negative alpha', () => refit(join(folder, 'from'), '--base', model, '--alpha', '-1'), /alpha must be a number/],
    ['another model', () => refit(join(folder, 'from'), '--base', tiny), /did not come from .*: they differ in/],
    [
      'a base that lacks more',
      () => refit(join(folder, 'from'), '--base', join(folder, 'less')),
      /has dropped modules/,
    ],
  ])('%s', async (_, argv, sentence) => {
    if (!existsSync(join(folder, 'less')))
      await document('drop', model, '--drop-attn', '3', '--out', join(folder, 'less'));
    const { code, stdout, stderr } = await llmDrop(argv());
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.split('\n').filter((line) => line && !line.startsWith('note: '))).toHaveLength(1);
    expect(stderr).toMatch(sentence);
    expect(existsSync(join(folder, 'no'))).toBe(false);
  });
});

const tiny = join(root, 'models/tiny-stories');

describe.skipIf(!built)('a killed run', () => {
  it('leaves nothing half-written, and goes on to the same bytes', async () => {
    const [plain, whole, cut] = ['tiny-plain', 'tiny-whole', 'tiny-cut'].map((name) => join(folder, name));
    const calibration = ['--calibration', join(tiny, 'calibration.txt'), '--samples', '4', '--length', '128'];
    await document('drop', tiny, '--drop-attn', '3,7', '--out', plain);
    const argv = (out: string): string[] => [
      ...['compensate', plain, '--base', tiny, ...calibration, '--held-out', '2', '--threads', '1', '--out', out],
    ];
    expect((await llmDrop(argv(whole))).code).toBe(0);

    // Killed each time one more projection is safe.
    const progress = `${cut}.refit.progress`;
    for (const least of [1, 4]) {
      const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...argv(cut)], { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      while (child.exitCode === null && !(refitsOf(progress) >= least)) await sleep(2);
      child.kill('SIGKILL');
      await ended;
      expect(existsSync(cut)).toBe(false);
    }
    // A process and this one may differ in their tier of instructions, so the rest runs in one of its own, too.
    const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...argv(cut)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (piece) => (stderr += String(piece)));
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
    expect(stderr).toMatch(/continuing a refit behind \d+ output projections/);
    expect(weightsOf(cut)).toEqual(weightsOf(whole));
    expect(existsSync(progress)).toBe(false);
    expect(existsSync(`${progress}.streams`)).toBe(false);
    for (const out of [plain, whole, cut]) rmSync(out, { recursive: true });
  }, 480_000);
});

function refitsOf(progress: string): number {
  try {
    return (JSON.parse(readFileSync(progress, 'utf8')) as { state: { refits: unknown[] } }).state.refits.length;
  } catch {
    return 0;
  }
}
