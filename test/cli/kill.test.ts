/** A seeded slice of `node test/kill/run.mjs --runs 200`: SIGKILL at random moments of the built program. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { built } from './builtProgram.js';
import { root } from './commandLine.js';

describe.skipIf(!built)('killed at random moments', () => {
  it.each([
    ['score,streamed,drop', '10', '7'],
    ['gptq,compensate', '6', '3'],
  ])(
    '%s: nothing half-written appears, and a run goes on to the same result',
    (commands, runs, seed) => {
      const argv = ['test/kill/run.mjs', '--runs', runs, '--seed', seed, '--commands', commands, '--rows', '1000'];
      const { status, stdout, stderr } = spawnSync(process.execPath, argv, { cwd: root, encoding: 'utf8' });
      expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
    },
    480_000,
  );
});
