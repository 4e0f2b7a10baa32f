/** `--int8` of the commands that load a model, all alike. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtInModel } from '../../src/cli/package.js';
import { backend, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

describe('--int8', () => {
  const folder = temporaryFolder();
  const text = join(folder, 'stories.txt');
  let model: string;
  beforeAll(async () => {
    model = await writeModel(join(folder, 'model'));
    writeFileSync(text, stories);
  });

  const lossOf = async (path: string, ...options: string[]): Promise<number> => {
    const argv = ['eval', path, '--text', text, '--held-out', '2', '--length', '32', '--threads', '1', '--json'];
    const { code, stdout, stderr } = await llmDrop([...argv, ...options]);
    if (code !== 0) throw new Error(stderr);
    return (JSON.parse(stdout) as { loss: number }).loss;
  };
  const onWasm = ['--backend', backend];

  it('gives what the reference gives with the same weights, near the float model', async () => {
    const [float, reference, int8, int4] = [
      await lossOf(model, ...onWasm),
      await lossOf(model, '--backend', 'reference', '--int8'),
      await lossOf(model, ...onWasm, '--int8'),
      await lossOf(model, ...onWasm, '--int4'),
    ];
    // Activations are off by at most 2^-16 of their group's largest: far within 1e-4 of a loss near 6.
    expect(Math.abs(int8 - reference)).toBeLessThan(1e-4);
    expect(int8).not.toBe(float);
    expect(Math.abs(int8 - float)).toBeLessThan(0.5 * Math.abs(int4 - float));
  });

  it('leaves weights that a file stores as int4', async () => {
    const packed = join(folder, 'packed');
    const argv = ['quantize', builtInModel, '--method', 'rtn', '--group-size', '32', '--out', packed];
    expect(await llmDrop(argv)).toMatchObject({ code: 0 });
    const [stored, int8] = [await lossOf(packed, ...onWasm), await lossOf(packed, ...onWasm, '--int8')];
    // Only the tables are rounded.
    expect(int8).not.toBe(stored);
    expect(Math.abs(int8 - stored)).toBeLessThan(0.005);
  });

  it('bench says it', async () => {
    const argv = ['bench', model, '--prompt', '4', '--generate', '2', '--repeats', '1', '--threads', '1', '--int8'];
    const { code, stdout } = await llmDrop([...argv, ...onWasm]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Weights rounded to int8 as they were loaded/);
  });

  it.each([
    [['generate', '--int4', '--int8', '--prompt', 'x'], /--int4 and --int8 exclude each other/],
    [['eval', '--int8', '--head', 'int4', '--text', text], /--head int4 does not go with --int8/],
    [['quantize', '--int8', '--method', 'rtn', '--out', join(folder, 'no')], /so --int8 does not go with it/],
    [['compress', '--int8', '--example'], /so --int8 does not go with it/],
    [
      ['drop', '--int8', '--drop-attn', '1', '--compensate', 'all', '--calibration', text, '--out', join(folder, 'no')],
      /needs the weights as they are stored, so --int8 does not go with it[^]*run the result with --int8/,
    ],
  ])('%s is refused', async ([name, ...options], message) => {
    const { code, stderr } = await llmDrop([name, model, ...options]);
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
  });
});
