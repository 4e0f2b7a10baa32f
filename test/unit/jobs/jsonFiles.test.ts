import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/engine/index.js';
import { readJson } from '../../../src/jobs/jsonFiles.js';

const root = mkdtempSync(join(tmpdir(), 'llm-drop-json-'));
afterAll(() => rmSync(root, { recursive: true }));

function file(content: string): string {
  const path = join(root, 'file.json');
  writeFileSync(path, content);
  return path;
}

async function refusal(path: string): Promise<string> {
  const error: unknown = await readJson(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toContain(path);
  return (error as Error).message;
}

describe('a file of JSON', () => {
  it('holds any value, also behind a byte order mark', async () => {
    expect(await readJson(file('\ufeff[1, null]'))).toEqual([1, null]);
    expect(await readJson(file('3'))).toBe(3);
  });

  it('that is none, missing, or a folder is refused by its path', async () => {
    expect(await refusal(file('{'))).toMatch(/is not valid JSON/);
    expect(await refusal(file(''))).toMatch(/is not valid JSON/);
    await refusal(join(root, 'none.json'));
    await refusal(root);
  });

  it.skipIf(!existsSync('/dev/zero'))('that is endless is refused', async () => {
    expect(await refusal('/dev/zero')).toMatch(/more than \d+ bytes/);
  });
});
