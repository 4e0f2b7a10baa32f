import { UserError } from '../../engine/index.js';
import type { FileSystem, OpenFile } from './fileSystem.js';
import { heldFiles } from './heldFiles.js';
import type { Bytes, Place } from './place.js';
import { privateFiles, privateScheme } from './privateFiles.js';
import { webFiles } from './webFiles.js';

/** Paths are URLs, `opfs:` and a path of the origin's private file system, or begin with the name of held files. */
function placeOf(path: string): Place {
  if (path.startsWith(privateScheme)) return privateFiles;
  return path.includes('://') ? webFiles : heldFiles;
}

export const fileSystem: FileSystem = {
  join: (folder, ...names) => [folder.replace(/\/+$/, ''), ...names].join('/'),
  basename: (path, ending = '') => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    return name.endsWith(ending) ? name.slice(0, name.length - ending.length) : name;
  },
  dirname: (path) => path.slice(0, Math.max(0, path.lastIndexOf('/'))),
  extname: (path) => /[^/](\.[^./]*)$/.exec(path)?.[1] ?? '',
  stat: async (path) => {
    const found = await placeOf(path).find(path);
    if (!found) throw systemError('ENOENT', 'stat', path);
    return { isFile: () => found !== 'folder', isDirectory: () => found === 'folder' };
  },
  readdir: async (folder) => {
    const found = await placeOf(folder).find(folder);
    if (found !== 'folder') throw systemError(found ? 'ENOTDIR' : 'ENOENT', 'scandir', folder);
    return placeOf(folder).list(folder);
  },
  open: async (path) => openFile(await found(path)),
  stream: async function* (path) {
    const bytes = await found(path);
    for (let at = 0; at < bytes.size; at += 1 << 20) yield bytes.read(at, Math.min(bytes.size, at + (1 << 20)));
  },
  copyFile: refuseToWrite,
  mkdir: refuseToWrite,
  writeFile: refuseToWrite,
  bytes: (count) => new Uint8Array(count),
};

async function found(path: string): Promise<Bytes> {
  const bytes = await placeOf(path).find(path);
  if (!bytes) throw systemError('ENOENT', 'open', path);
  if (bytes === 'folder') throw systemError('EISDIR', 'read', path);
  return bytes;
}

const openFile = ({ size, read }: Bytes): OpenFile => ({
  stat: async () => ({ size }),
  read: async (into, offset, length, position) => {
    const bytes = await read(Math.min(position, size), Math.min(position + length, size));
    into.set(bytes, offset);
    return { bytesRead: bytes.byteLength };
  },
  close: async () => undefined,
});

async function refuseToWrite(): Promise<never> {
  throw new UserError('no files are written in a browser', { hint: 'run llm-drop in Node for that' });
}

/** As Node tells of a failed system call. */
const systemError = (code: string, syscall: string, path: string): Error =>
  Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, syscall, path });
