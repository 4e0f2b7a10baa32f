import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Real models, texts and expectations, which are no part of the project. */
const shared = resolve(import.meta.dirname, '../../../../shared');
export const inShared = (...way: string[]): string => join(shared, ...way);

/** Says why tests of real data do not run; undefined when they do. */
export function absent(...paths: string[]): string | undefined {
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length) console.warn(`skipped: ${missing.join(', ')} is absent`);
  return missing.length ? missing.join(', ') : undefined;
}
