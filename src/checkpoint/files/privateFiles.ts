import { bytesOfBlob, type Place } from './place.js';

/** Of the browser's file system for an origin (File System standard); its types are not those of Node. */
interface Directory {
  getDirectoryHandle(name: string): Promise<Directory>;
  getFileHandle(name: string): Promise<{ getFile(): Promise<Blob> }>;
  keys(): AsyncIterable<string>;
}

export const privateScheme = 'opfs:';

/** Files that an origin keeps for itself in the browser: `opfs:models/tiny/config.json`. */
export const privateFiles: Place = {
  find: async (path) => {
    const names = namesOf(path);
    const folder = await directory(names.slice(0, -1));
    const last = names.at(-1);
    if (!folder || last === undefined) return folder && 'folder';
    const file = await folder.getFileHandle(last).catch(() => undefined);
    if (file) return bytesOfBlob(await file.getFile());
    return (await directory(names)) && 'folder';
  },
  list: async (path) => {
    const names: string[] = [];
    for await (const name of (await directory(namesOf(path)))?.keys() ?? none()) names.push(name);
    return names;
  },
};

const namesOf = (path: string): string[] => path.slice(privateScheme.length).split('/').filter(Boolean);

async function* none(): AsyncGenerator<string> {}

async function directory(names: readonly string[]): Promise<Directory | undefined> {
  const { navigator } = globalThis as unknown as { navigator: { storage: { getDirectory(): Promise<Directory> } } };
  let folder: Directory | undefined = await navigator.storage.getDirectory();
  for (const name of names) folder = await folder?.getDirectoryHandle(name).catch(() => undefined);
  return folder;
}
