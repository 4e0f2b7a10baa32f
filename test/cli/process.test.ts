/** The built program as a process of its own: `npm test` builds it first. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { built, main } from './builtProgram.js';
import { stories, temporaryFolder, writeModel } from './commandLine.js';

describe.skipIf(!built)('dist/cli/main.js', () => {
  const folder = temporaryFolder();
  const text = join(folder, 'stories.txt');
  let model: string;
  beforeAll(async () => {
    model = await writeModel(join(folder, 'model'));
    writeFileSync(text, stories);
  });
  const node = (...argv: string[]) => promisify(execFile)(process.execPath, [main, ...argv]);
  const shell = (script: string) =>
    spawnSync('bash', ['-c', script, 'bash', process.execPath, main, model, text, folder], { encoding: 'utf8' });

  it('prints one JSON document and ends by itself', async () => {
    const { stdout, stderr } = await node('eval', model, '--text', text, '--held-out', '2', '--length', '32', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ rows: 2, tokens: 62 });
    expect(stderr).toBe('');
  });

  it('fails with one sentence', async () => {
    const failure = {
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^error: there is no folder .*\n$/) as string,
    };
    await expect(node('inspect', join(folder, 'nowhere'))).rejects.toMatchObject(failure);
  });

  it('does not mind a reader that has seen enough', () => {
    const { stdout, stderr } = shell(
      'set -o pipefail; "$1" "$2" score --help | head -n 1; "$1" "$2" inspect "$3" | true',
    );
    expect({ stdout, stderr }).toEqual({ stdout: 'Usage: llm-drop score [options] <model>\n', stderr: '' });
  });

  it('leaves nothing where a file grows past what the system allows', () => {
    // 4 KiB: config.json fits, the weights do not.
    const { status, stdout, stderr } = shell('ulimit -f 4; "$1" "$2" drop "$3" --drop-mlp 1 --out "$5/limited"');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^error: cannot (write|copy) \S+: the file would be larger than the system allows\n$/);
    expect(readdirSync(folder).filter((name) => name.includes('limited'))).toEqual([]);
  });

  it('ends at Ctrl-C', async () => {
    const long = join(folder, 'long.txt');
    writeFileSync(long, stories.repeat(40)); // minutes of rows
    const argv = [
      main,
      'score',
      model,
      '--calibration',
      long,
      '--length',
      '2',
      '--samples',
      '100000',
      '--backend',
      'reference',
    ];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (piece: Buffer) => {
      stderr += piece.toString();
      // Once: a second one would end it without a word.
      if (!child.killed && /^scoring: /m.test(stderr)) child.kill('SIGINT');
    });
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(130);
    expect(stderr).toMatch(/\ninterrupted\n$/);
  });
});
