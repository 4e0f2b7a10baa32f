/** The notice that a newer Node computes faster. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cacheFolder, newerNodeNotice } from '../../src/cli/newerNode.js';
import { run } from '../../src/cli/run.js';
import { temporaryFolder, writeModel } from './commandLine.js';

describe('the notice of a newer Node', () => {
  const folder = temporaryFolder();
  let homes = 0;
  /** A machine where nothing was said yet. */
  const fresh = (): NodeJS.ProcessEnv => ({ HOME: join(folder, `home${++homes}`) });

  it('is given once on a machine, on Nodes before 26', () => {
    const env = fresh();
    expect(newerNodeNotice({ version: '26.0.0', env })).toBeUndefined();
    expect(newerNodeNotice({ version: '20.20.2', env })).toMatch(
      /^Node 26 computes faster than the Node 20\.20\.2 here: .* 20, [\d.]+ times .* [\d.]+ times .* [\d.]+ times /,
    );
    expect(newerNodeNotice({ version: '20.20.2', env })).toBeUndefined();
    expect(newerNodeNotice({ version: '24.1.0', env: fresh() })).toContain('than the Node 24.1.0 here');
  });

  it('is not given where it is silenced, which is not having been given', () => {
    const env = fresh();
    expect(newerNodeNotice({ version: '20.0.0', env: { ...env, LLM_DROP_NO_NOTICE: '1' } })).toBeUndefined();
    expect(newerNodeNotice({ version: '20.0.0', env })).toBeDefined();
  });

  it('is given again where nothing can be remembered', () => {
    const env = { XDG_CACHE_HOME: '/dev/null' };
    for (let time = 0; time < 2; time++) expect(newerNodeNotice({ version: '20.0.0', env })).toBeDefined();
  });

  it.each([
    ['linux', {}, '/home/me/.cache/llm-drop'],
    ['linux', { XDG_CACHE_HOME: '/fast' }, '/fast/llm-drop'],
    ['darwin', {}, '/home/me/Library/Caches/llm-drop'],
    ['win32', { LOCALAPPDATA: '/local' }, '/local/llm-drop'],
  ] as const)('is remembered where %s with %j keeps what may be lost', (platform, env, expected) =>
    expect(cacheFolder({ HOME: '/home/me', ...env }, platform)).toBe(expected),
  );

  it('goes to a terminal, from commands that compute here, without --json', async () => {
    const model = await writeModel(join(folder, 'model'));
    const said = async (isTTY: boolean, ...argv: string[]): Promise<boolean> => {
      const before = process.env.XDG_CACHE_HOME;
      process.env.XDG_CACHE_HOME = fresh().HOME;
      let stderr = '';
      const output = { write: (text: string) => void (stderr += text), isTTY };
      const code = await run(argv, { stdout: { write: () => undefined }, stderr: output });
      if (before === undefined) delete process.env.XDG_CACHE_HOME;
      else process.env.XDG_CACHE_HOME = before;
      expect(code).toBe(0);
      return stderr.startsWith('note: Node 26 computes faster');
    };
    const generate = ['generate', model, '--prompt', 'a', '--max-tokens', '1', '--threads', '1'];
    const isOld = Number.parseInt(process.versions.node, 10) < 26;
    expect(await said(true, ...generate)).toBe(isOld);
    expect(await said(false, ...generate)).toBe(false);
    expect(await said(true, ...generate, '--json')).toBe(false);
    expect(await said(true, ...generate, '--backend', 'reference')).toBe(false);
    expect(await said(true, 'inspect', model)).toBe(false);
  });
});
