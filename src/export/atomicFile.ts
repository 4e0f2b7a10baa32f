import { access, mkdir, open, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { UserError } from '../engine/index.js';
import { fileError } from '../checkpoint/index.js';

/**
 * Writes a file that appears complete or not at all: `write` fills one beside it, `check` reads that, and it is
 * renamed. `beside` are texts that appear with it, by their paths.
 */
export async function writeFileAtomically<T>(
  target: string,
  write: (file: FileHandle) => Promise<void>,
  check: (path: string) => Promise<{ result: T; beside: Readonly<Record<string, string>> }>,
  { overwrite = false }: { overwrite?: boolean } = {},
): Promise<T> {
  const partial = `${target}.partial-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  try {
    await checkVacant(target, overwrite);
    await mkdir(dirname(resolve(target)), { recursive: true });
    const file = await open(partial, 'wx');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    const { result, beside } = await check(partial);
    await checkVacant(target, overwrite);
    await rename(partial, target);
    for (const [path, text] of Object.entries(beside)) await writeFile(path, text);
    return result;
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    if (error instanceof UserError) throw new UserError(error.message.replaceAll(partial, target), { cause: error });
    throw fileError(error, 'cannot write', target);
  }
}

/** Fails where `writeFileAtomically` would, before the work. */
export async function checkVacant(target: string, overwrite: boolean): Promise<void> {
  const exists = await access(target).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  if ((await stat(target)).isDirectory())
    throw new UserError(`${target} is a folder, expected the name of a file to write`);
  if (!overwrite)
    throw new UserError(`${target} exists`, { hint: 'choose another name, or allow it to be overwritten' });
}
