import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError } from '../fileError.js';
import { makeFolders } from '../makeFolders.js';
import { checkFile, checkKind, type Output } from './checkFile.js';
import { placeOf } from './place.js';
import { HiddenPath, clearRemains } from './remains.js';

/**
 * Writes a file that appears complete or not at all: `write` fills a hidden one beside `target`, at `path`, which is
 * flushed to the disk and renamed over it. A link is followed, so that what it leads to is replaced and not the link; a
 * device or a pipe is written to as it is. Remains of runs that were killed are removed on the next run for the same
 * target. Disk and permission errors are UserErrors.
 */
export async function writeFileAtomically<T>(
  target: string,
  write: (file: FileHandle, path: string) => Promise<T>,
  { overwrite = true, placed = false }: Partial<Pick<Output, 'overwrite' | 'placed'>> = {},
): Promise<T> {
  const place = await placeOf(target);
  checkKind(place, 'file');
  const check = async (): Promise<void> => checkFile(await placeOf(target), { overwrite, placed });
  try {
    if (place.kind === 'special') return await filled(target, 'w', (file) => write(file, target));
    if (placed) await makeFolders(dirname(place.path));
    await check();
    await clearRemains(place.path);
    using hidden = new HiddenPath(place.path, 'partial');
    try {
      const result = await filled(hidden.path, 'wx', async (file) => {
        const written = await write(file, hidden.path);
        await file.sync();
        return written;
      });
      await check();
      await rename(hidden.path, place.path);
      return result;
    } catch (error) {
      await rm(hidden.path, { force: true }).catch(() => undefined);
      throw hidden.shown(error, target);
    }
  } catch (error) {
    throw fileError(error, 'cannot write', target);
  }
}

async function filled<T>(path: string, flags: string, write: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await write(file);
  } finally {
    await file.close();
  }
}
