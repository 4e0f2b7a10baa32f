/** Ctrl-C in the middle of a scoring: what it leaves, and how the same command line goes on. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { backend, llmDrop, stories, temporaryFolder, writeModel, type Outcome } from './commandLine.js';

const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
let model: string;
beforeAll(async () => {
  model = await writeModel(join(folder, 'model'));
  writeFileSync(text, stories);
});

/** Runs the command and interrupts it at the `n`-th time that it asks whether it is interrupted. */
async function interrupted(argv: readonly string[], n: number): Promise<Outcome> {
  const interrupt = new AbortController();
  const { signal } = interrupt;
  const ask = signal.throwIfAborted.bind(signal);
  let asked = 0;
  signal.throwIfAborted = () => {
    if (++asked === n) interrupt.abort();
    ask();
  };
  return llmDrop(argv, { signal });
}

/** Without dates. */
const scores = (path: string): unknown => ({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), date: '' });

describe.each([
  ['loaded', []],
  // The tests' model has 4 layers of 7 kB and an embedding of 40 kB: enough for the program, a layer and a row alone.
  ['streamed', ['--max-memory', '160060KB', '--gap', '2']],
])('score of a model that is %s', (way, options) => {
  const argv = (out: string, ...more: string[]): string[] => [
    ...['score', model, '--calibration', text, '--samples', '90', '--length', '32', '--backend', backend],
    ...options,
    ...['--out', out],
    ...more,
  ];

  it('goes on where it was interrupted, to the same result', async () => {
    const [alone, out] = [join(folder, `${way}-alone.json`), join(folder, `${way}.json`)];
    const whole = await llmDrop(argv(alone));
    expect(whole.code).toBe(0);
    expect(/streamed/.test(whole.stderr)).toBe(way === 'streamed');
    let last: Outcome = { code: 130, stdout: '', stderr: '' };
    let continued = 0;
    // Later and later, so that the first comes while the text is read, and the last never.
    for (let n = 10; last.code === 130; n *= 2) {
      last = await interrupted(argv(out), n);
      expect(existsSync(out)).toBe(last.code === 0);
      if (last.stderr.includes('continuing from')) continued++;
    }
    expect(last.code, last.stderr).toBe(0);
    expect(continued).toBeGreaterThan(0);
    expect(scores(out)).toEqual(scores(alone));
    expect(readdirSync(folder).filter((name) => name.includes('progress'))).toEqual([]);
  });

  it('starts anew where the text is another, and says so', async () => {
    const out = join(folder, `${way}-changed.json`);
    const progress = `${out}.progress`;
    for (let n = 100; !existsSync(progress); n += 20) expect((await interrupted(argv(out), n)).code).toBe(130);
    const other = join(folder, 'other.txt');
    writeFileSync(other, stories.replaceAll('red', 'blue'));
    const changed = await llmDrop(argv(out).map((word) => (word === text ? other : word)));
    expect(changed.code).toBe(0);
    expect(changed.stderr).toContain(
      `${progress} is of an interrupted run with other inputs (calibration tokens); starting anew`,
    );
    expect(changed.stderr).not.toContain('continuing');
  });

  it('keeps its progress where --state says', async () => {
    const [out, state] = [join(folder, `${way}-state.json`), join(folder, `${way}-state`)];
    for (let n = 100; !existsSync(join(state, 'score.progress')); n += 20)
      expect((await interrupted(argv(out, '--state', state), n)).code).toBe(130);
    expect(existsSync(`${out}.progress`)).toBe(false);
    const { stderr } = await llmDrop(argv(out, '--state', state));
    expect(stderr).toContain(`continuing from ${join(state, 'score.progress')}`);
    expect(readdirSync(state)).toEqual([]);
  });
});
