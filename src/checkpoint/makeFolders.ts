import { systemErrorCode } from './fileError.js';
import { fileSystem } from './files/index.js';

/**
 * Makes a folder and those above it that are missing, and returns the first that was made. Node's own `recursive` never
 * ends where a file system takes no new folders and says that there is none, as `/proc` does.
 */
export async function makeFolders(folder: string, withParents = true): Promise<string | undefined> {
  try {
    await fileSystem.mkdir(folder);
    return folder;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST' && (await fileSystem.stat(folder)).isDirectory()) return undefined;
    if (code !== 'ENOENT' || !withParents || fileSystem.dirname(folder) === folder) throw error;
    const first = await makeFolders(fileSystem.dirname(folder));
    const own = await makeFolders(folder, false);
    return first ?? own;
  }
}
