/** Two runs of the built program with one output: the second is told of the first, however that ends. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { built, main } from './builtProgram.js';
import { stories, temporaryFolder, writeModel } from './commandLine.js';

describe.skipIf(!built)('two runs', () => {
  const folder = temporaryFolder();
  const text = join(folder, 'long.txt');
  let model: string;
  beforeAll(async () => {
    model = await writeModel(join(folder, 'model'));
    writeFileSync(text, stories.repeat(40)); // minutes of rows
  });

  const score = (rows: number, ...more: string[]): ChildProcess =>
    spawn(process.execPath, [
      main,
      'score',
      model,
      '--calibration',
      text,
      '--samples',
      `${rows}`,
      '--length',
      '8',
      ...more,
    ]);

  async function ended(child: ChildProcess): Promise<{ code: number | null; stderr: string }> {
    let stderr = '';
    child.stderr!.on('data', (piece) => (stderr += piece));
    child.stdout!.resume();
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stderr };
  }

  async function until(path: string): Promise<void> {
    while (!existsSync(path)) await setTimeout(20);
  }

  const many = 12_000;

  it.each<[string, (out: string) => string[], (out: string) => string]>([
    ['output', (out) => ['--out', out], (out) => join(folder, `.${out.slice(folder.length + 1)}.lock`)],
    ['state', (out) => ['--state', out], (out) => join(out, '.score.progress.lock')],
  ])(
    'with one %s: the second names the first',
    async (name, options, lockOf) => {
      const out = join(folder, name);
      const lock = lockOf(out);
      const first = score(many, ...options(out));
      await until(lock);
      const { code, stderr } = await ended(score(2, ...options(out)));
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringMatching(
          new RegExp(
            `^error: \\S+ is being written by process ${first.pid} on ${hostname()} since \\S+ \\(main.js score `,
          ),
        ) as string,
      });
      // A kill leaves its lock, which the next run takes over.
      first.kill('SIGKILL');
      await once(first, 'close');
      expect(existsSync(lock)).toBe(true);
      expect(await ended(score(2, ...options(out)))).toMatchObject({ code: 0 });
      expect(existsSync(lock)).toBe(false);
    },
    60_000,
  );

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    '%s ends one with its progress saved and its lock gone',
    async (signal, code) => {
      const out = join(folder, `${signal}.json`);
      const child = score(many, '--out', out);
      await until(`${out}.progress`);
      child.kill(signal);
      expect(await ended(child)).toEqual({ code, stderr: expect.stringContaining('interrupted') as string });
      const left = readdirSync(folder).filter((file) => file.includes(signal));
      expect(left).toEqual([`${signal}.json.progress`]);
      expect(JSON.parse(readFileSync(`${out}.progress`, 'utf8'))).toHaveProperty('checksum');
    },
    60_000,
  );
});
