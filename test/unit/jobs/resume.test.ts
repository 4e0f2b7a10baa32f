/** Where jobs keep how far they have come. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ResumeBeside } from '../../../src/jobs/resume.js';

const folder = mkdtempSync(join(tmpdir(), 'llm-drop-resume-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inputs = (text: string) => async () => ({ text });

it('lies beside the result by what is continued, and goes when that is there', async () => {
  const resume = new ResumeBeside(join(folder, 'out/'), undefined);
  for (const kind of ['search', 'refit', 'quantize'] as const)
    await (await resume.open<string>(kind, inputs('a')))!.save(kind);
  expect(readdirSync(folder).sort()).toEqual(['out.progress', 'out.quantize.progress', 'out.refit.progress']);
  const again = await new ResumeBeside(join(folder, 'out'), undefined).open<string>('refit', inputs('a'));
  expect(again!.previous).toBe('refit');
  await resume.finished();
  expect(readdirSync(folder)).toEqual([]);
});

it('says that other inputs are not continued', async () => {
  const notes: string[] = [];
  const path = join(folder, 'changed');
  await (await new ResumeBeside(path, undefined).open<string>('refit', inputs('a')))!.save('half');
  const resume = new ResumeBeside(path, (note) => notes.push(note));
  expect((await resume.open<string>('refit', inputs('b')))!.previous).toBeUndefined();
  expect(notes).toEqual([`${path}.refit.progress is of an interrupted run with other inputs (text); starting anew`]);
});

it('keeps no scores', async () => {
  const path = join(folder, 'scored');
  expect(await new ResumeBeside(path, undefined).open('score', inputs('a'))).toBeUndefined();
  expect(existsSync(`${path}.score.progress`)).toBe(false);
});
