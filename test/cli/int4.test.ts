/** `--int4` and `--int4-exact` of the commands that load a model, all alike. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtInModel } from '../../src/cli/package.js';
import { backend, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

describe('--int4-exact', () => {
  const folder = temporaryFolder();
  const text = join(folder, 'stories.txt');
  let model: string;
  beforeAll(async () => {
    model = await writeModel(join(folder, 'model'));
    writeFileSync(text, stories);
  });

  const lossOf = async (path: string, ...options: string[]): Promise<number> => {
    const argv = [
      'eval',
      path,
      '--text',
      text,
      '--held-out',
      '2',
      '--length',
      '32',
      '--threads',
      '1',
      '--json',
      ...options,
    ];
    const { code, stdout, stderr } = await llmDrop(argv);
    if (code !== 0) throw new Error(stderr);
    return (JSON.parse(stdout) as { loss: number }).loss;
  };
  const onWasm = ['--backend', backend];

  it('gives what the reference gives with the same int4 weights, up to float32', async () => {
    const reference = await lossOf(model, '--backend', 'reference', '--int4');
    const exact = await lossOf(model, ...onWasm, '--int4', '--int4-exact');
    const fast = await lossOf(model, ...onWasm, '--int4');
    // Sums of at most 320 terms, each off by 2^-24 of itself: far within 1e-5 of a loss near 6.
    expect(Math.abs(exact - reference)).toBeLessThan(1e-5);
    expect(Math.abs(fast - reference)).toBeGreaterThan(10 * Math.abs(exact - reference));
  });

  it('goes for weights that a file stores as int4', async () => {
    const packed = join(folder, 'packed');
    // A projection of the small model is narrower than a group.
    const argv = ['quantize', builtInModel, '--method', 'rtn', '--group-size', '32', '--out', packed];
    expect(await llmDrop(argv)).toMatchObject({ code: 0 });
    const [reference, exact, fast] = [
      await lossOf(packed, '--backend', 'reference'),
      await lossOf(packed, ...onWasm, '--int4-exact'),
      await lossOf(packed, ...onWasm),
    ];
    expect(Math.abs(exact - reference)).toBeLessThan(1e-5);
    expect(fast).not.toBe(exact);
  });

  it('changes nothing without int4 weights', async () =>
    expect(await lossOf(model, ...onWasm, '--int4-exact')).toBe(await lossOf(model, ...onWasm)));
});
