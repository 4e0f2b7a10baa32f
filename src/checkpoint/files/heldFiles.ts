import { bytesOfBlob, type Place } from './place.js';

const folders = new Map<string, ReadonlyMap<string, Blob>>();

/**
 * Makes files that a page was given a folder of this name, whose path it is: of `holdFiles('tiny', files)`,
 * `loadModel('tiny')` loads a checkpoint, and `loadModel('tiny/model.gguf')` a GGUF file. What was held under the name
 * before is let go.
 * @param files by their paths within the folder
 */
export function holdFiles(name: string, files: ReadonlyMap<string, Blob>): void {
  folders.set(name, files);
}

export const heldFiles: Place = {
  find: async (path) => {
    const { files, within } = placeOf(path);
    const blob = files?.get(within);
    if (blob) return bytesOfBlob(blob);
    return namesIn(files, within).length ? 'folder' : undefined;
  },
  list: async (folder) => {
    const { files, within } = placeOf(folder);
    return namesIn(files, within);
  },
};

function placeOf(path: string): { readonly files: ReadonlyMap<string, Blob> | undefined; readonly within: string } {
  const [name, ...rest] = path.split('/');
  return { files: folders.get(name), within: rest.join('/') };
}

function namesIn(files: ReadonlyMap<string, Blob> = new Map(), folder: string): string[] {
  const start = folder && `${folder}/`;
  const inside = [...files.keys()].filter((path) => path.startsWith(start));
  return [...new Set(inside.map((path) => path.slice(start.length).split('/')[0]))];
}
