import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError, readWhole } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/** Any JSON value. UserError for a file that is missing, endless, or holds none. */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readWhole(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
  try {
    return JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** Appears under its name when it is complete. What is no plain file (a pipe, a device) is written to as it is. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  const partial = `${path}.partial-${process.pid}`;
  try {
    const there = await stat(path).catch(() => undefined);
    if (there && !there.isFile()) return await writeFile(path, text);
    await writeFile(partial, text);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw fileError(error, 'cannot write', path);
  }
}

/** Fails before the work, not after it, where a file cannot be written for lack of its folder. */
export async function checkOutputFile(path: string): Promise<void> {
  const folder = await stat(dirname(path)).catch((error: unknown) => {
    throw fileError(error, 'cannot write to', dirname(path));
  });
  if (!folder.isDirectory()) throw new UserError(`cannot write ${path}: ${dirname(path)} is not a folder`);
  if ((await stat(path).catch(() => undefined))?.isDirectory())
    throw new UserError(`cannot write ${path}: it is a folder, not a file`);
}
