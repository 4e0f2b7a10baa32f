import { mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError, systemErrorCode } from '../fileError.js';
import { makeFolders } from '../makeFolders.js';
import { checkOutputs, type JobPaths } from './checkOutputs.js';
import { placeOf } from './place.js';
import { HiddenPath, clearRemains } from './remains.js';

export interface WriteFolderOptions {
  /** Replace a model folder that is there and holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
  /** What `write` reads, for which nothing is written over. */
  readonly reads?: JobPaths['reads'];
}

/**
 * Writes a folder that appears complete or not at all: `write` fills a hidden folder beside `target`, which is flushed
 * to the disk and renamed over it. A link is followed, so that what it leads to is replaced and not the link. Remains of
 * runs that were killed are removed on the next run for the same target.
 *
 * What `checkOutputs` refuses is refused. A folder that is replaced is set aside, and put back when the exchange fails.
 * Disk and permission errors are UserErrors.
 */
export async function writeFolderAtomically<T>(
  target: string,
  write: (folder: string) => Promise<T>,
  { overwrite = false, reads = [] }: WriteFolderOptions = {},
): Promise<T> {
  const { path } = await placeOf(target);
  const parent = dirname(path);
  const check = (): Promise<void> => checkOutputs({ reads, writes: [{ path: target, kind: 'folder', overwrite }] });
  try {
    await makeFolders(parent);
    await clearRemains(path);
    await check();
    using hidden = new HiddenPath(path, 'partial');
    try {
      await mkdir(hidden.path);
      const result = await write(hidden.path);
      await flush(hidden.path);
      await check();
      await swap(hidden.path, path);
      await flushEntry(parent);
      return result;
    } catch (error) {
      await rm(hidden.path, { recursive: true, force: true }).catch(() => undefined);
      throw hidden.shown(error, target);
    }
  } catch (error) {
    throw fileError(error, 'cannot write', target);
  }
}

async function swap(folder: string, path: string): Promise<void> {
  const held = await readdir(path).catch(() => undefined);
  if (!held?.length) {
    if (held) await rmdir(path);
    return rename(folder, path);
  }
  using old = new HiddenPath(path, 'replaced');
  await rename(path, old.path);
  await rename(folder, path).catch(async (error: unknown) => {
    await rename(old.path, path);
    throw error;
  });
  await rm(old.path, { recursive: true, force: true });
}

/** Flushes every file and folder below `folder`. */
async function flush(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await flush(join(folder, entry.name));
    else if (entry.isFile()) await flushEntry(join(folder, entry.name));
  }
  await flushEntry(folder);
}

async function flushEntry(path: string): Promise<void> {
  let handle;
  try {
    handle = await open(path, 'r');
    await handle.sync();
  } catch (error) {
    const code = systemErrorCode(error);
    // Not every system can flush a folder, or a file that is open for reading only; there, a loss of power may cost the
    // result.
    if (code !== 'EPERM' && code !== 'EACCES' && code !== 'EISDIR' && code !== 'EINVAL' && code !== 'EBADF')
      throw error;
  } finally {
    await handle?.close();
  }
}
