import { fileSystem } from '../files/index.js';
import { magic } from './ggufFormat.js';

/** Whether a path is a GGUF file, by its name or by how it begins. */
export async function isGguf(path: string): Promise<boolean> {
  const found = await fileSystem.stat(path).catch(() => undefined);
  if (found?.isDirectory()) return false;
  if (fileSystem.extname(path).toLowerCase() === '.gguf') return true;
  if (!found?.isFile()) return false;
  const handle = await fileSystem.open(path).catch(() => undefined);
  if (!handle) return false;
  const begin = new Uint8Array(4);
  try {
    const { bytesRead } = await handle.read(begin, 0, 4, 0);
    return bytesRead === 4 && new DataView(begin.buffer).getUint32(0, true) === magic;
  } finally {
    await handle.close();
  }
}
