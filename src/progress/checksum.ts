import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/** SHA-256 of all else in a saved document, in hexadecimal. */
export interface Checksum {
  readonly checksum: string;
}

/** A document with its checksum. Its date does not count: a run that goes on saves the same but for that. */
export const withChecksum = <T extends object>(document: T): T & Checksum => ({
  ...document,
  checksum: checksumOf(document),
});

/** UserError, with what to do, for a document that is not as it was saved `withChecksum`, or has no checksum. */
export function checkChecksum(document: unknown, path: string, toDo: string): void {
  const { checksum } = (document ?? {}) as Partial<Checksum>;
  if (typeof checksum !== 'string')
    throw new UserError(`${path} has no checksum: an earlier version saved it, or it was changed`, { hint: toDo });
  if (checksum !== attempted(() => checksumOf(document as object)))
    throw new UserError(`${path} is not as it was saved: its checksum is another`, { hint: toDo });
}

/** The same of a file, undefined where there is none. UserError for what is no JSON, too. */
export async function readChecked<T extends object>(path: string, toDo: string): Promise<(T & Checksum) | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw fileError(error, 'cannot read', path);
  });
  if (text === undefined) return undefined;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new UserError(`${path} is not as it was saved: it is not valid JSON`, { hint: toDo, cause });
  }
  checkChecksum(document, path, toDo);
  return document as T & Checksum;
}

/** SHA-256 of a file's bytes, in hexadecimal. */
export async function fileChecksum(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** What is nested beyond the stack has no checksum. */
function attempted(make: () => string): string | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** JSON gives numbers back to the last bit, and keys in their order: what is read has the checksum of what was saved. */
function checksumOf(document: object): string {
  const { checksum: _checksum, date: _date, ...content } = document as Record<string, unknown>;
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}
