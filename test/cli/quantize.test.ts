/** `quantize` on the built-in model: what it writes, reports and refuses, and that it continues. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/index.js';
import { document, llmDrop, root, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const model = join(root, 'models/tiny-stories');
const text = join(model, 'calibration.txt');
const small = ['--calibration', text, '--samples', '3', '--length', '96', '--held-out', '4'];
const quantize = (out: string, ...rest: string[]): string[] => ['quantize', model, ...rest, '--out', join(folder, out)];

interface Report {
  readonly symmetric: boolean;
  readonly bitsPerWeight: number;
  readonly bytes: { before: number; after: number };
  readonly losses: { before: number; after: number; difference: number; standardError: number; rows: number }[];
  readonly projections: { tensor: string; layer: number; path: string; outputError?: number; weightError: number }[];
  readonly notes: string[];
}

const reportOf = async (...argv: string[]): Promise<Report> => (await document(...argv)) as unknown as Report;

describe('quantize', () => {
  it.each([
    ['gptq', 'gptq', true, 4 + 16 / 128],
    ['awq', 'awq', false, 4 + 20 / 128],
    ['gptq', 'compressed-tensors', true, 4 + 16 / 128],
  ] as const)('%s as %s: a folder that runs here, with its report', async (method, format, symmetric, bits) => {
    const name = `${method}-${format}`;
    const report = await reportOf(...quantize(name, ...small, '--method', method, '--format', format));
    expect([report.symmetric, report.bitsPerWeight]).toEqual([symmetric, bits]);
    expect(report.bytes.after).toBeLessThan(0.35 * report.bytes.before);
    expect(report.projections).toHaveLength(12 * 7);
    // 4 bits in groups of 128 leave about a percent in a projection's outputs.
    for (const { outputError } of report.projections) expect(outputError).toBeLessThan(0.05);
    const [loss] = report.losses;
    expect(loss.rows).toBe(4);
    expect(Math.abs(loss.difference)).toBeLessThan(0.1);
    const { notes, out, ...record } = report as Report & { out: string };
    expect([notes, out]).toEqual([[], join(folder, name)]);
    expect(JSON.parse(readFileSync(join(out, 'quantize_report.json'), 'utf8'))).toEqual(record);

    const measured = await document('eval', out, '--text', text, '--held-out', '4', '--length', '96');
    const float = await document('eval', model, '--text', text, '--held-out', '4', '--length', '96');
    // `eval` computes on 8-bit activations here: a hundredth more.
    expect(Math.abs((measured.loss as number) - (float.loss as number))).toBeLessThan(0.15);
  });

  it('rtn needs no text; of a dropped model it writes what is left', async () => {
    const dropped = join(folder, 'dropped');
    await document('drop', model, '--drop-attn', '3,7', '--drop-mlp', '5', '--out', dropped);
    const out = join(folder, 'dropped-int4');
    const report = await reportOf('quantize', dropped, '--method', 'rtn', '--group-size', '32', '--out', out);
    expect(report.projections).toHaveLength(12 * 7 - 2 * 4 - 3);
    expect(report.losses).toEqual([]);
    expect(report.notes).toEqual(['no loss is measured without --text']);
    const checkpoint = await openCheckpoint(out);
    expect(checkpoint.config).toMatchObject({ drop_attn_list: [3, 7], drop_mlp_list: [5] });
    expect(checkpoint.tensorNames().some((name) => name.includes('layers.3.self_attn'))).toBe(false);
    await checkpoint.close();
    expect((await llmDrop(['eval', out, '--text', text, '--held-out', '1', '--length', '32'])).code).toBe(0);
  });

  it('for people: facts, and a table of errors', async () => {
    const { code, stdout } = await llmDrop(quantize('text', '--method', 'rtn'));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^method +rtn\nformat +compressed-tensors, groups of 128, symmetric\n/);
    expect(stdout).toMatch(/\nlayer +q +k +v +o +gate +up +down\n0 +\d/);
    expect(stdout).toMatch(/text: written\n$/);
  });

  it('an interrupted run continues to the same files', async () => {
    const argv = (out: string): string[] => quantize(out, ...small, '--method', 'gptq', '--json');
    expect((await llmDrop(argv('whole'))).code).toBe(0);
    const progress = join(folder, 'cut.quantize.progress');
    const abort = new AbortController();
    const watch = setInterval(() => existsSync(progress) && abort.abort(), 1);
    const cut = await llmDrop(argv('cut'), { signal: abort.signal });
    clearInterval(watch);
    expect([cut.code, existsSync(progress), existsSync(join(folder, 'cut'))]).toEqual([130, true, false]);
    const { code, stderr } = await llmDrop(argv('cut'));
    expect(code).toBe(0);
    expect(stderr).toMatch(/note: continuing behind \d+ layers\n/);
    expect(readdirSync(folder).filter((name) => name.includes('progress'))).toEqual([]);
    for (const file of ['model.safetensors', 'config.json'])
      expect(readFileSync(join(folder, 'cut', file)).equals(readFileSync(join(folder, 'whole', file)))).toBe(true);
  });
});

describe('quantize refuses', () => {
  const fails = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await llmDrop(argv);
    expect([code, stdout]).toEqual([1, '']);
    expect(readdirSync(folder).filter((name) => name.startsWith('refused'))).toEqual([]);
    return stderr;
  };

  it.each([
    [['--method', 'gptq'], /--method gptq needs --calibration/],
    [['--method', 'rtn', '--symmetric', '--asymmetric'], /exclude each other/],
    [['--method', 'rtn', '--int4'], /--int4 does not go with it/],
    [['--method', 'rtn', '--group-size', '48'], /--group-size must be 32, 64, 128 or -1, found "48"/],
    [['--method', 'awq', '--calibration', text, '--clip', 'search'], /awq cuts ranges by a search of its own/],
    [['--method', 'gptq', '--calibration', text, '--damping', '0'], /--damping must be a number between 0 and 1/],
    [['--method', 'rtn', '--quantize-head'], /output projection is its embedding/],
  ])('%j', async (argv, message) => {
    expect(await fails(...quantize('refused', ...argv))).toMatch(message);
  });

  it('a shape that the format cannot hold, by name and before any work', async () => {
    const narrow = await writeModel(join(folder, 'narrow'));
    const out = join(folder, 'refused');
    const stderr = await fails('quantize', narrow, '--method', 'gptq', '--calibration', text, '--out', out);
    expect(stderr).toMatch(/cannot hold model\.layers\.0\..*_proj\.weight \[\d+,\d+\]/);
  });

  it('a model that is quantized already, and a folder that is not empty', async () => {
    const int4 = join(folder, 'int4');
    await document(...quantize('int4', '--method', 'rtn'));
    expect(await fails('quantize', int4, '--method', 'rtn', '--out', join(folder, 'refused'))).toMatch(
      /quantized already/,
    );
    writeFileSync(join(int4, 'more.txt'), '');
    expect(await fails('quantize', model, '--method', 'rtn', '--out', int4)).toMatch(/exists and is not empty/);
  });
});
