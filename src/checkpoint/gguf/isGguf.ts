import { open, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { magic } from './ggufFormat.js';

/** Whether a path is a GGUF file, by its name or by how it begins. */
export async function isGguf(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return false;
  if (extname(path).toLowerCase() === '.gguf') return true;
  if (!found?.isFile()) return false;
  const handle = await open(path, 'r').catch(() => undefined);
  if (!handle) return false;
  const begin = new DataView(new ArrayBuffer(4));
  try {
    const { bytesRead } = await handle.read(begin, 0, 4, 0);
    return bytesRead === 4 && begin.getUint32(0, true) === magic;
  } finally {
    await handle.close();
  }
}
