/** A scoring that is interrupted anywhere continues to the same bits. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProgressFile } from '../../src/progress/index.js';
import { angular, cosine, scoreImportance, type Importance, type ScoreState } from '../../src/drop/index.js';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { Model, createModel } from '../../src/models/index.js';

const config = {
  vocabSize: 50,
  hiddenSize: 12,
  intermediateSize: 20,
  numHiddenLayers: 4,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
};
const rows = Array.from({ length: 6 }, (_, row) =>
  Int32Array.from({ length: 9 }, (__, i) => (i * (row + 3) + row) % 50),
);
const fingerprint = { model: 'one', 'calibration tokens': 'some' };

let folder: string, engine: Engine, loaded: Model, unloaded: Model, mixture: Model;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'llm-drop-resume-'));
  engine = await createEngine('wasm');
  loaded = await createModel(config, { seed: 8, engine });
  mixture = await createModel(
    { ...config, modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 },
    { seed: 9, engine },
  );
  unloaded = new Model(engine, loaded.description, loaded.parameters);
});
afterAll(() => {
  loaded.dispose();
  unloaded.dispose();
  mixture.dispose();
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Interrupted after each of `stops` further rows, and continued from the file each time. */
async function inPieces(
  model: Model,
  stops: readonly number[],
  o: { gaps: readonly number[]; metric: typeof cosine },
): Promise<Importance> {
  const path = join(folder, 'importance.json.progress');
  for (const stop of [...stops, Infinity]) {
    const progress = await ProgressFile.open<ScoreState>(path, fingerprint);
    expect(progress.changed).toBeUndefined();
    const interrupt = new AbortController();
    let seen = 0;
    const onProgress = (): void => void (++seen >= stop && interrupt.abort());
    try {
      const importance = await scoreImportance(model, rows, { ...o, progress, onProgress, signal: interrupt.signal });
      await progress.remove();
      expect(readdirSync(folder)).toEqual([]);
      return importance;
    } catch (error) {
      expect(interrupt.signal.aborted, String(error)).toBe(true);
      expect(existsSync(path)).toBe(true);
    }
  }
  throw new Error('unreachable');
}

describe.each(['loaded', 'streamed'])('%s', (way) => {
  it('continues to the same bits wherever it was interrupted', async () => {
    const model = way === 'loaded' ? loaded : unloaded;
    const cases = fc.record({
      stops: fc.array(fc.integer({ min: 1, max: way === 'loaded' ? 4 : 15 }), { maxLength: 4 }),
      gaps: fc.constantFrom([1], [1, 2], [1, 3], [1, 2, 3, 4]),
      metric: fc.constantFrom(cosine, angular),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ stops, gaps, metric }) => {
        expect(await inPieces(model, stops, { gaps, metric })).toEqual(
          await scoreImportance(loaded, rows, { gaps, metric }),
        );
      }),
      { numRuns: 40 },
    );
  });
});

it('counts of experts continue to the same bits', async () => {
  const whole = await scoreImportance(mixture, rows);
  expect(whole.experts!.flatMap((works) => works!).some(({ visits }) => visits > 0)).toBe(true);
  for (const stops of [[1], [2, 3]])
    for (const metric of [cosine, angular])
      expect((await inPieces(mixture, stops, { gaps: [1, 2, 3, 4], metric })).experts).toEqual(whole.experts);
});

describe('a progress file', () => {
  const path = (): string => join(folder, 'state/run.progress');

  it('gives back what was saved, to the last bit, for the same inputs alone', async () => {
    const first = await ProgressFile.open<number[]>(path(), fingerprint);
    expect([first.previous, first.changed]).toEqual([undefined, undefined]);
    await first.save([0.1 + 0.2, -1e-300, 1 / 3]);
    expect((await ProgressFile.open<number[]>(path(), fingerprint)).previous).toEqual([0.1 + 0.2, -1e-300, 1 / 3]);
    const other = await ProgressFile.open(path(), { ...fingerprint, 'calibration tokens': 'others' });
    expect(other.previous).toBeUndefined();
    expect(other.changed).toMatch(
      /run\.progress is of an interrupted run with other inputs \(calibration tokens\); starting anew$/,
    );
    expect(readdirSync(join(folder, 'state'))).toEqual([]);
  });

  it.each<[string, (text: string) => string]>([
    ['is empty', () => ''],
    ['is cut off', (text) => text.slice(0, -9)],
    ['is null', () => 'null'],
    ['holds a state alone', () => '{"state":1}'],
    ['holds another number', (text) => text.replace('0.25', '0.26')],
    ['holds no number', (text) => text.replace('0.25', 'null')],
    ['holds fewer numbers', (text) => text.replace('0.25,', '')],
    ['is nested beyond the stack', (text) => text.replace('0.25', '['.repeat(20_000) + ']'.repeat(20_000))],
    ['is of a version without checksums', () => JSON.stringify({ fingerprint, state: [0.25, 0.5] })],
  ])('that %s is refused, with what to remove', async (_, change) => {
    await (await ProgressFile.open(path(), fingerprint)).save([0.25, 0.5]);
    const changed = change(readFileSync(path(), 'utf8'));
    writeFileSync(path(), changed);
    await expect(ProgressFile.open(path(), fingerprint)).rejects.toThrow(
      new RegExp(`^${path()} (is not as it was saved|has no checksum).*remove ${path()} and ${path()}.streams\\)$`),
    );
    expect(readFileSync(path(), 'utf8')).toBe(changed);
    rmSync(path());
  });

  it('holds the files that the state relies on to what they were', async () => {
    const first = await ProgressFile.open<number>(path(), fingerprint);
    mkdirSync(first.folder);
    const part = join(first.folder, 'part');
    writeFileSync(part, 'abc');
    await first.save(1, ['part']);
    writeFileSync(join(first.folder, 'other'), 'not yet complete');
    expect((await ProgressFile.open<number>(path(), fingerprint)).previous).toBe(1);
    const refused = async (says: string): Promise<void> =>
      expect(ProgressFile.open(path(), fingerprint)).rejects.toThrow(`${part} is ${says}`);
    writeFileSync(part, 'abd');
    await refused('not as it was saved');
    rmSync(part);
    await refused('missing');
    await first.remove();
  });

  it('is whole at any time', async () => {
    const file = await ProgressFile.open<{ n: number }>(path(), fingerprint);
    await file.save({ n: 1 });
    writeFileSync(`${path()}.partial`, '{"half'); // what a kill leaves
    expect((await ProgressFile.open<{ n: number }>(path(), fingerprint)).previous).toEqual({ n: 1 });
    await file.save({ n: 2 });
    expect(JSON.parse(readFileSync(path(), 'utf8'))).toEqual({
      ...{ fingerprint, state: { n: 2 }, files: {} },
      checksum: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    await file.remove();
    expect(readdirSync(join(folder, 'state'))).toEqual([]);
    rmSync(join(folder, 'state'), { recursive: true });
  });
});
