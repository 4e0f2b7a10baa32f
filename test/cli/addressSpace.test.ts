/** A limit on addresses, as cluster schedulers set it: the same numbers, or a sentence that names the limit. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { built, main } from './builtProgram.js';
import { root } from './commandLine.js';

const model = join(root, 'models/tiny-stories');
const evaluate = `'${process.execPath}' '${main}' eval '${model}' --text '${model}/calibration.txt' --rows 1 --length 32 --json`;

function run(command: string, nodeOptions = ''): { code: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, NODE_OPTIONS: nodeOptions };
  const { status, stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8', env });
  return { code: status, stdout, stderr };
}

const limited = built && process.platform === 'linux' && run('ulimit -v 16000000').code === 0;
if (!limited) console.warn('skipped: a limit on addresses cannot be set here');
/** V8 reserves 10 GB for each memory of WebAssembly unless it is told to check bounds. */
const checking = '--disable-wasm-trap-handler';
const canCheck = process.allowedNodeEnvironmentFlags.has(checking);

describe.skipIf(!limited)('eval', () => {
  const loss = (stdout: string): unknown => (JSON.parse(stdout) as { loss: number }).loss;
  const expected = limited ? loss(run(evaluate).stdout) : undefined;

  it.each([2e6, 4e6, 8e6, 12e6])('with %d KiB', (kibibytes) => {
    const { code, stdout, stderr } = run(`ulimit -v ${kibibytes}; ${evaluate}`);
    if (code === 0) return expect(loss(stdout)).toBe(expected);
    expect(stderr).toMatch(
      `error: WebAssembly cannot reserve memory: this process may have ${1024 * kibibytes} bytes of addresses (\`ulimit -v\`), of which `,
    );
    expect([code, stdout, stderr.trimEnd().split('\n').length]).toEqual([1, '', 1]);
    expect(stderr).not.toContain('unexpected');
  });

  it.skipIf(!canCheck).each([2e6, 4e6, 8e6])(
    'with %d KiB, where V8 reserves no more than it is asked to',
    (kibibytes) => {
      const { code, stdout, stderr } = run(`ulimit -v ${kibibytes}; ${evaluate}`, checking);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(loss(stdout)).toBe(expected);
    },
  );
});
