/** `bench` on a small model: one document, one table, and the bound in both. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BenchReport } from '../../src/bench/index.js';
import { document, llmDrop, temporaryFolder, writeModel } from './commandLine.js';

describe('bench', () => {
  const folder = temporaryFolder();
  let argv: string[];
  beforeAll(async () => {
    const model = await writeModel(join(folder, 'model'));
    const sizes = ['--prompt', '0', '--generate', '2', '--depth', '0,48', '--repeats', '2'];
    argv = ['bench', model, '--drop-attn', '0,2', '--threads', '1', ...sizes];
  });

  it('holds dropping half the attentions against what bytes and operations allow', async () => {
    const { results, variants } = (await document(...argv)) as unknown as BenchReport;
    expect(results.map(({ variant, test }) => `${test} ${variant}`)).toEqual([
      'tg2 whole',
      'tg2 without attention 0 2',
      'tg2@d48 whole',
      'tg2@d48 without attention 0 2',
    ]);
    const { bytesPerSecond, operationsPerSecond } = variants[0].rates;
    expect(variants[1].rates).toEqual(variants[0].rates);
    const seconds = results.map(({ work }) =>
      Math.max(work.bytes / bytesPerSecond, work.operations / operationsPerSecond),
    );
    for (const [i, { bound, speedup }] of results.entries()) {
      expect(bound.speedup).toBeCloseTo(seconds[i - (i % 2)] / seconds[i], 12);
      expect(bound.reached).toBeCloseTo(speedup / bound.speedup, 12);
    }
    // 4 bytes of 8 numbers for each of 49 and 50 keys and values that a token sees, of the 2 attentions that went.
    const [near, far] = [1, 3].map((i) => results[i - 1].work.bytes - results[i].work.bytes);
    expect(far - near).toBe(2 * 2 * 4 * 8 * 2 * 48);
  });

  it('prints both as a table and as CSV', async () => {
    const { stdout: table } = await llmDrop(argv);
    expect(table).toMatch(/^\| variant \| test \| .*read a token \| Mop a token \| speedup \| bound \| reached \|/);
    expect(table).toMatch(/rates of this engine's products here: [\d.]+ GB\/s and [\d.]+ Gop\/s/);
    const { stdout: csv } = await llmDrop([...argv, '--format', 'csv']);
    expect(csv).toMatch(/speedup,bound,reached,limit,bytes,operations,bytes_per_second,operations_per_second,/);
    expect(csv.trim().split('\n')).toHaveLength(5);
  });
});
