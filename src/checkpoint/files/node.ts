import { createReadStream } from 'node:fs';
import { copyFile, mkdir, open, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { FileSystem } from './fileSystem.js';

export const node: FileSystem = {
  join,
  basename,
  dirname,
  extname,
  stat: (path) => stat(path),
  readdir: (folder) => readdir(folder),
  open: (path) => open(path, 'r'),
  stream: (path) => createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>,
  copyFile: (from, to) => copyFile(from, to),
  mkdir: (folder) => mkdir(folder),
  writeFile: (path, text) => writeFile(path, text),
  bytes: (count) => new Uint8Array(Buffer.allocUnsafeSlow(count).buffer as ArrayBuffer),
};
