/** The trade-off curve: measured, interrupted and continued, chosen from. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { SweepPoint, SweepState } from '../../src/drop/index.js';
import { Model } from '../../src/models/index.js';
import { withChecksum } from '../../src/progress/index.js';
import { backend, document, layers, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const text = at('stories.txt');
const other = at('other.txt');
const small = ['--samples', '4', '--held-out', '3', '--length', '32', '--speed-rounds', '0'];
let model: string;

beforeAll(async () => {
  model = await writeModel(at('model'));
  writeFileSync(text, stories);
  writeFileSync(other, 'A cat sat on the mat and looked at the moon for a long while. '.repeat(80));
});

type Document = SweepState & { readonly choice?: { readonly point: SweepPoint; readonly command: string } | null };

const sweep = async (...more: string[]): Promise<Document> =>
  (await document('sweep', model, '--calibration', text, ...small, ...more)) as unknown as Document;

const keys = ({ points }: Document): string[] => points.map(({ target, count }) => `${target} ${count}`);

/** What does not depend on the clock. */
const timeless = ({ points }: Document): unknown => JSON.parse(JSON.stringify(points)) as unknown;

describe('sweep', () => {
  it('has a point for each target and count, with drops that contain those of smaller counts', async () => {
    const result = await sweep('--target', 'joint,attention', '--count', '3,1');
    expect(keys(result)).toEqual(['attention 1', 'attention 3', 'joint 1', 'joint 3']);
    const [one, three] = result.points;
    expect(three.drops.attention).toEqual(expect.arrayContaining([...one.drops.attention]));
    expect(result.whole).toMatchObject({ divergence: 0, agreement: 1, tokensPerSecond: null });
    expect(three.kvBytesPerToken).toBe(result.whole!.kvBytesPerToken / 4);
    for (const { loss, difference } of result.points) expect(loss - difference).toBeCloseTo(result.whole!.loss, 10);
  });

  it("gives a point the loss that drop measures on the calibration text's rows behind", async () => {
    const { points } = await sweep('--target', 'mlp', '--count', '2');
    const dropped = await document(
      ...['drop', model, '--calibration', text, '--samples', '4', '--length', '32', '--held-out', '3'],
      ...['--target', 'mlp', '--count', '2', '--out', at('same')],
    );
    expect(dropped).toMatchObject({ drop: points[0].drops, loss: { rows: 3 } });
    expect((dropped.loss as { after: number }).after).toBeCloseTo(points[0].loss, 10);
  });

  it('measures each text for itself, without the rows that were calibrated on', async () => {
    const { whole } = await sweep('--target', 'mlp', '--count', '1', '--text', other, '--text', text);
    expect(whole!.texts.map(({ name, rows }) => [name, rows])).toEqual([
      [other, 3],
      [text, 3],
    ]);
    const behind = await sweep('--target', 'mlp', '--count', '1');
    expect(whole!.texts[1].loss).toBeCloseTo(behind.whole!.loss, 10);
    expect(whole!.loss).toBeCloseTo((whole!.texts[0].loss + whole!.texts[1].loss) / 2, 10);
  });

  it('measures methods that look at different numbers of rows on the same ones, with --skip-rows', async () => {
    const measured = async (samples: string, ...more: string[]): Promise<number> => {
      const result = await sweep('--target', 'mlp', '--count', '1', '--text', text, '--samples', samples, ...more);
      return result.whole!.loss;
    };
    expect(await measured('2')).not.toBe(await measured('4'));
    expect(await measured('2', '--skip-rows', '4')).toBe(await measured('4', '--skip-rows', '4'));
    expect(await measured('4', '--skip-rows', '4')).toBe(await measured('4'));
  });

  it('measures decoding beside the whole model', async () => {
    // A clock that passes alone move: by 2 ms for each module that runs.
    let now = 0;
    const forward = Reflect.get(Model.prototype, 'forwardYielding') as Model['forwardYielding'];
    const pass = vi.spyOn(Model.prototype, 'forwardYielding').mockImplementation(function (this: Model, ...given) {
      const { attention, mlp } = this.drops;
      now += 2 * (2 * layers - attention.length - mlp.length);
      return forward.apply(this, given);
    });
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      const counts = ['--target', 'attention,block', '--count', '1,3', '--speed-rounds', '2'];
      const { whole, points } = await sweep(...counts);
      expect(whole!.tokensPerSecond).toBe(1000 / 16);
      expect(points.map(({ target, count }) => `${target} ${count}`)).toEqual([
        'attention 1',
        'attention 3',
        'block 1',
        'block 3',
      ]);
      for (const [i, ms] of [14, 10, 12, 4].entries()) {
        expect(points[i].tokensPerSecond).toBeCloseTo(1000 / ms, 10);
        expect(points[i].speedup).toBeCloseTo(16 / ms, 10);
      }
    } finally {
      clock.mockRestore();
      pass.mockRestore();
    }
  });

  it.each([
    ['attention', '--metric', 'gate-norm'],
    ['joint', '--metric', 'random', '--seed', '3'],
    ['block', '--search', 'greedy-kl'],
    ['mlp', '--search', 'greedy-loss'],
  ])('%s by %s %s', async (target, ...method) => {
    const [one, all] = [
      await sweep('--target', target, '--count', '1', ...method),
      await sweep('--target', target, '--count', '1,2', ...method),
    ];
    expect(all.points[0].drops).toEqual(one.points[0].drops);
    const dropped = await document(
      ...['drop', model, '--calibration', text, '--samples', '4', '--length', '32', ...method],
      ...['--target', target, '--count', '2', '--out', at(`by-${method.join('')}`)],
    );
    expect(dropped.drop).toEqual(all.points[1].drops);
  });
});

describe('a file of results', () => {
  const search = ['--target', 'attention,mlp', '--count', '1,2', '--search', 'greedy-kl'];

  it('goes on after an interruption, to the same end', async () => {
    const [whole, cut] = [at('whole.json'), at('cut.json')];
    const complete = await sweep(...search, '--out', whole);
    const file = JSON.parse(readFileSync(whole, 'utf8')) as Document;
    expect(timeless(file)).toEqual(timeless(complete));
    // As an interruption within the second target's search leaves it.
    const steps = { ...file.steps, mlp: file.steps.mlp!.slice(0, 1) };
    writeFileSync(cut, JSON.stringify(withChecksum({ ...file, steps, points: file.points.slice(0, 2) })));
    expect(timeless(await sweep(...search, '--out', cut, '--resume'))).toEqual(timeless(complete));
  });

  it('is the same sweep where a default is spelled out', async () => {
    const out = at('spelled.json');
    const first = await sweep('--target', 'mlp', '--count', '1', '--out', out);
    const again = await sweep('--target', 'mlp', '--count', '1', '--metric', 'cosine', '--out', out, '--resume');
    expect(again.points).toEqual(first.points);
  });

  it('takes more counts into the same curve', async () => {
    const out = at('more.json');
    await sweep('--target', 'attention', '--count', '2', '--out', out);
    expect(keys(await sweep('--target', 'attention', '--count', '1', '--out', out))).toEqual([
      'attention 1',
      'attention 2',
    ]);
  });

  it('is saved after each point', async () => {
    const out = at('interrupted.json');
    const abort = new AbortController();
    const watch = setInterval(
      () => existsSync(out) && (readFileSync(out, 'utf8').includes('"target"') ? abort.abort() : 0),
      1,
    );
    const argv = [
      'sweep',
      model,
      '--calibration',
      text,
      ...small,
      '--speed-rounds',
      '9',
      '--out',
      out,
      '--backend',
      backend,
    ];
    const { code } = await llmDrop([...argv, '--target', 'attention', '--count', '1,2,3,4'], {
      signal: abort.signal,
    });
    clearInterval(watch);
    expect(code).toBe(130);
    const { points } = JSON.parse(readFileSync(out, 'utf8')) as Document;
    expect(points.length).toBeGreaterThanOrEqual(1);
    expect(points.length).toBeLessThan(4);
  });

  it('is not continued with other inputs, and the sentence says which', async () => {
    const out = at('fixed.json');
    await sweep('--target', 'mlp', '--count', '1', '--out', out);
    const refused = async (...more: string[]): Promise<string> => {
      const argv = ['sweep', model, '--calibration', text, ...small, '--target', 'mlp', '--count', '1', '--out', out];
      const { code, stderr } = await llmDrop([...argv, '--backend', backend, ...more]);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await refused('--samples', '5')).toContain(
      `${out} is a sweep that differs from this one in calibration rows and rows of held out (choose another --out`,
    );
    expect(await refused('--metric', 'angular')).toContain('differs from this one in metric (');
    expect(await refused('--metric', 'random', '--seed', '1')).toContain('in metric and seed (');
    writeFileSync(out, '{}');
    expect(await refused()).toContain('is there and no sweep');
    expect(await refused('--out', at('absent.json'), '--resume')).toContain('holds nothing to resume');
  });
});

describe('a budget', () => {
  it('chooses the smallest loss within it, and the command that makes it', async () => {
    const { points, choice } = await sweep(
      '--target',
      'attention,mlp',
      '--count',
      '1,2,3',
      '--budget',
      'kv=0.5,parameters=1M',
    );
    const within = points.filter(({ target, count }) => target === 'attention' && count >= 2);
    const least = within.reduce((a, b) => (a.loss <= b.loss ? a : b));
    expect(choice!.point).toEqual(least);
    const [name, command, ...argv] = choice!.command.split(' ');
    expect([name, command]).toEqual(['llm-drop', 'drop']);
    const out = at('chosen');
    const made = await document('drop', ...argv.slice(0, -1), out);
    expect(made.drop).toEqual(least.drops);
  });

  it('says where nothing fits, and refuses what it does not understand', async () => {
    expect((await sweep('--target', 'mlp', '--count', '1', '--budget', 'kv=0.5')).choice).toBeNull();
    const refuse = async (budget: string): Promise<string> =>
      (await llmDrop(['sweep', model, '--calibration', text, ...small, '--budget', budget])).stderr;
    expect(await refuse('kv=2')).toContain(
      'the budget "kv=2" is a share of the whole model without a unit, so it must be within 0 to 1',
    );
    expect(await refuse('kv=2ms')).toContain('has the unit ms, but kv knows B, kB, MB, KiB, MiB');
    expect(await refuse('cost=1')).toContain('is not understood');
    expect(await refuse('decode=0.8')).toContain('--speed-rounds 0 does not go with it');
  });
});

describe('what makes no sense together', () => {
  it.each([
    [['--search', 'greedy-kl', '--metric', 'cosine'], '--search greedy-kl measures the model itself'],
    [['--metric', 'gate-norm'], '--metric gate-norm scores attentions only, so it needs --target attention, not mlp'],
    [['--seed', '1'], '--seed is of random choices, so it needs --metric random'],
    [['--target', 'heads'], '--target must be some of attention,mlp,block,joint, found "heads"'],
    [['--count', '1,x'], '--count must be whole numbers of at least 1, such as 1,8, found "1,x"'],
    [['--resume'], '--resume goes on from a file, so it needs --out'],
    [['--skip-rows', '3'], '--skip-rows passes over rows of a --text, so it needs one'],
  ])('%j is one sentence, before anything is loaded', async (argv, sentence) => {
    const { code, stdout, stderr } = await llmDrop(['sweep', 'nowhere', '--calibration', text, ...argv]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(sentence);
  });
});

describe('for people', () => {
  const shown = async (...more: string[]): Promise<string> => {
    const argv = ['sweep', model, '--calibration', text, ...small, '--target', 'attention,mlp', '--count', '1,2'];
    const { code, stdout } = await llmDrop([...argv, '--backend', backend, ...more]);
    expect(code).toBe(0);
    return stdout;
  };

  it('a table, and the loss as a picture', async () => {
    const told = await shown();
    expect(told).toMatch(/^whole +0 +\d/m);
    expect(told).toMatch(/^mlp +2 +\d+\.\d{4} +[+-]\d/m);
    expect(told).toMatch(/^dropped +attention +mlp$/m);
    expect(told).toMatch(/^ +2 +\d\.\d{4} [ █▏▎▍▌▋▊▉]*\d\.\d{4}/m);
  });

  it('Markdown and CSV', async () => {
    expect((await shown('--format', 'markdown')).split('\n').filter((line) => line.startsWith('|'))).toHaveLength(7);
    const rows = (await shown('--format', 'csv'))
      .trim()
      .split('\n')
      .map((line) => line.split(','));
    expect(rows).toHaveLength(6);
    for (const row of rows) expect(row).toHaveLength(rows[0].length);
    // Two of four attentions are half of the keys and values, of which MLPs have none; a tenth is left by none.
    expect((await shown('--format', 'csv', '--budget', 'kv=0.5')).trim().split('\n')).toHaveLength(6);
    expect(await shown('--budget', 'kv=0.5')).toMatch(/^llm-drop drop \S+ --drop-attn \d,\d --out model-attention-2$/m);
    expect(await shown('--budget', 'kv=0.1')).toMatch(/^nothing that was measured/m);
  });
});
