import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { fileError } from '../checkpoint/index.js';
import type { RequestRecord } from './server.js';

/** A file that gets a line of JSON for each request. */
export interface RequestLog extends AsyncDisposable {
  add(record: RequestRecord): void;
}

/** Opens a log, whose lines are added to those that are there. UserError where the file cannot be written. */
export async function openRequestLog(path: string): Promise<RequestLog> {
  const stream = createWriteStream(path, { flags: 'a' });
  await once(stream, 'open').catch((error: unknown) => {
    throw fileError(error, 'cannot write', path);
  });
  stream.on('error', () => undefined); // a full disk ends the log, not the answers
  return {
    add: (record) => void stream.write(`${JSON.stringify(record)}\n`),
    [Symbol.asyncDispose]: () => new Promise((resolve) => stream.end(resolve)),
  };
}
