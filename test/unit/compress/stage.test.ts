import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { StagePlace } from '../../../src/compress/stage.js';

const work = mkdtempSync(join(tmpdir(), 'llm-drop-stage-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

it('goes on with what a stage has left, and only in the way in which it was going', async () => {
  const open = (way: string): Promise<readonly number[] | undefined> =>
    new StagePlace(work, 'key', 'drop').open<number[]>('score', undefined, { way }).then(({ previous }) => previous);
  const progress = await new StagePlace(work, 'key', 'drop').open<number[]>('score', undefined, { way: 'streamed' });
  await progress.save([1, 2]);
  expect(await open('streamed')).toEqual([1, 2]);
  // Sums of streamed rows are not in the order of those of whole passes.
  expect(await open('loaded')).toBeUndefined();
});
