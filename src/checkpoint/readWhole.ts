import { createReadStream } from 'node:fs';
import { UserError } from '../engine/index.js';

/** Configs and tokenizers have some megabytes; the largest tokenizer that is known has 35. */
const mostBytes = 1 << 28;

/** All bytes of a file beside the weights. UserError for one that is larger than any such file, or endless. */
export async function readWhole(path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > mostBytes) throw new UserError(`${path} has more than ${mostBytes} bytes, which no such file has`);
  }
  return Buffer.concat(chunks);
}
