/** A greedy search that is interrupted continues behind the steps it has made. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../src/cli/run.js';

const model = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url));

describe('drop --search', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'llm-drop-search-'))));
  afterAll(() => rm(folder, { recursive: true }));

  const search = async (out: string, signal?: AbortSignal): Promise<{ code: number; stderr: string }> => {
    let stderr = '';
    const sink = (take: (text: string) => void): never => ({ write: (text: string) => (take(text), true) }) as never;
    const argv = [
      'drop',
      model,
      '--calibration',
      join(model, 'calibration.txt'),
      '--target',
      'attention',
      '--count',
      '2',
      '--search',
      'greedy-kl',
      '--samples',
      '2',
      '--length',
      '64',
      '--held-out',
      '2',
      '--json',
      '--out',
      out,
    ];
    const code = await run(argv, { stdout: sink(() => undefined), stderr: sink((text) => (stderr += text)), signal });
    return { code, stderr };
  };
  const report = (out: string): { steps: unknown; drop: unknown } =>
    JSON.parse(readFileSync(join(out, 'drop_report.json'), 'utf8')) as never;

  it('saves each step, says that it continues, and chooses the same', async () => {
    const [whole, cut] = [join(folder, 'whole'), join(folder, 'cut')];
    expect((await search(whole)).code).toBe(0);
    expect(existsSync(`${whole}.progress`)).toBe(false);

    const abort = new AbortController();
    const watch = setInterval(() => existsSync(`${cut}.progress`) && abort.abort(), 1);
    expect((await search(cut, abort.signal)).code).not.toBe(0);
    clearInterval(watch);
    expect(existsSync(cut)).toBe(false);

    const { code, stderr } = await search(cut);
    expect(code).toBe(0);
    expect(stderr).toMatch(/continuing a search behind [12] of 2 steps/);
    expect(report(cut).steps).toEqual(report(whole).steps);
    expect(report(cut).drop).toEqual(report(whole).drop);
    expect(existsSync(`${cut}.progress`)).toBe(false);
  }, 60_000);
});
