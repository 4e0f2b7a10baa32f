import { UserError } from '../engine/index.js';
import { fileSystem } from './files/index.js';

/** Configs and tokenizers have some megabytes; the largest tokenizer that is known has 35. */
const mostBytes = 1 << 28;

/** All bytes of a file beside the weights. UserError for one that is larger than any such file, or endless. */
export async function readWhole(path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let count = 0;
  for await (const chunk of fileSystem.stream(path)) {
    chunks.push(chunk);
    count += chunk.length;
    if (count > mostBytes) throw new UserError(`${path} has more than ${mostBytes} bytes, which no such file has`);
  }
  const bytes = fileSystem.bytes(count);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** As UTF-8, a mark at its beginning included. */
export const textOf = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
