import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from './fileError.js';

/**
 * Makes a folder and those above it that are missing, and returns the first that was made. Node's own `recursive` never
 * ends where a file system takes no new folders and says that there is none, as `/proc` does.
 */
export async function makeFolders(folder: string, withParents = true): Promise<string | undefined> {
  try {
    await mkdir(folder);
    return folder;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST' && (await stat(folder)).isDirectory()) return undefined;
    if (code !== 'ENOENT' || !withParents || dirname(folder) === folder) throw error;
    const first = await makeFolders(dirname(folder));
    const own = await makeFolders(folder, false);
    return first ?? own;
  }
}
