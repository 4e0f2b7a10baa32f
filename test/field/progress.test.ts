/** Progress that was changed is never gone on with: each kind of progress that a job keeps. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compress, parseRecipe } from '../../src/compress/index.js';
import { dropModules, quantizeCheckpoint, refitModel, scoreModel, sweepModel } from '../../src/jobs/index.js';
import type { JobOptions } from '../../src/jobs/index.js';
import { stories, writeModel } from '../cli/commandLine.js';

const root = mkdtempSync(join(tmpdir(), 'llm-drop-progress-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (name: string): string => join(root, name);
const [model, dropped, text] = [at('model'), at('dropped'), at('stories.txt')];

beforeAll(async () => {
  await writeModel(model);
  await dropModules(model, { drops: { mlp: [1] }, out: dropped });
  writeFileSync(text, stories);
});

const o = { calibration: [text], samples: 24, length: 32, heldOut: 2, backend: 'reference' } as const;
const recipe = parseRecipe({
  calibration: { files: [text], samples: 4, length: 32, heldOut: 2 },
  drop: { target: 'mlp', count: 1 },
  compensate: { mode: 'all' },
});

/** A job that is interrupted, and where it then has its progress. */
interface Case {
  readonly job: (out: string, options: JobOptions) => Promise<unknown>;
  readonly progress: (out: string) => string | undefined;
}

const below = (folder: string, name: string): string | undefined =>
  existsSync(folder)
    ? (readdirSync(folder, { recursive: true }) as string[])
        .map((path) => join(folder, path))
        .find((path) => path.endsWith(name))
    : undefined;

const cases: Readonly<Record<string, Case>> = {
  score: {
    job: (out, more) => scoreModel(model, { ...o, ...more, out }),
    progress: (out) => `${out}.progress`,
  },
  'score in a folder of its own': {
    job: (out, more) => scoreModel(model, { ...o, ...more, state: out }),
    progress: (out) => join(out, 'score.progress'),
  },
  search: {
    job: (out, more) =>
      dropModules(model, { ...o, ...more, samples: 2, target: 'mlp', count: 3, search: 'greedy-loss', out }),
    progress: (out) => `${out}.progress`,
  },
  refit: {
    job: (out, more) => refitModel(dropped, { ...o, ...more, base: model, out }),
    progress: (out) => `${out}.refit.progress`,
  },
  quantize: {
    job: (out, more) => quantizeCheckpoint(model, { ...o, ...more, method: 'rtn', groupSize: -1, out }),
    progress: (out) => `${out}.quantize.progress`,
  },
  sweep: {
    job: (out, more) =>
      sweepModel(model, { ...o, ...more, samples: 2, targets: ['mlp'], counts: [1, 2, 3], speedRounds: 0, out }),
    progress: (out) => out,
  },
  'a stage of compress': {
    job: (out, more) => compress(model, recipe, { ...more, backend: 'reference', out }),
    progress: (out) => below(`${out}.compress`, 'stage.json'),
  },
};

/** Interrupts a job ever later, until it has saved something. */
async function interrupted({ job, progress }: Case, out: string): Promise<string> {
  for (let n = 1; n < 2000; n = Math.ceil(1.3 * n)) {
    const controller = new AbortController();
    let told = 0;
    const onProgress = (): void => void (++told === n && controller.abort(Error('enough')));
    await expect(job(out, { onProgress, signal: controller.signal })).rejects.toThrow('enough');
    const path = progress(out);
    if (path && existsSync(path)) return path;
  }
  throw new Error('nothing was saved');
}

/** The first digit of the last number is another. */
function withOtherNumber(content: string): string {
  const found = [...content.matchAll(/(?<=[[,:]\s*-?)\d(?=[\d.e-]*[\],}\s])/g)].at(-1)!;
  return content.slice(0, found.index) + (found[0] === '1' ? '2' : '1') + content.slice(found.index + 1);
}

const changes: Readonly<Record<string, (content: string) => string>> = {
  shortened: (content) => content.slice(0, -20),
  'with another number': withOtherNumber,
  'with null in place of a number': (content) =>
    content.replace(/(?<=[[,:]\s*)-?\d+(\.\d+)?(e-?\d+)?(?=[\],}\s])/, 'null'),
  'without its checksum': (content) => content.replace('"checksum"', '"other"'),
};

it.each(Object.entries(cases))(
  '%s: changed progress is refused, with what to remove',
  async (name, one) => {
    const out = at(name.replaceAll(' ', '-'));
    const path = await interrupted(one, out);
    const saved = readFileSync(path, 'utf8');
    for (const [how, change] of Object.entries(changes)) {
      const changed = change(saved);
      expect(changed, how).not.toBe(saved);
      writeFileSync(path, changed);
      await expect(one.job(out, {}), how).rejects.toThrow(/(not as it was saved|no checksum|not valid JSON).*remove/);
      expect(readFileSync(path, 'utf8'), how).toBe(changed);
    }
    writeFileSync(path, saved);
    await one.job(out, {});
  },
  60_000,
);

it('hidden states that were cut off are refused', async () => {
  const out = at('states');
  await interrupted(cases.refit, out);
  const states = below(`${out}.refit.progress.streams`, '.f32')!;
  writeFileSync(states, '');
  await expect(cases.refit.job(out, {})).rejects.toThrow(/hidden states .* are incomplete \(to start anew, remove/);
}, 60_000);
