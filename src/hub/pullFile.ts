import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { setTimeout as wait } from 'node:timers/promises';
import { fileError, makeFolders, systemErrorCode } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { mayPass, messageOf } from './hubError.js';
import type { HubFile } from './hubFiles.js';

export interface PullFileOptions {
  /** The content as the hub has it: asked for again after each connection that broke. */
  readonly content: (o: { readonly xet: boolean }) => Promise<Blob>;
  /** Told as bytes come, not of those that an earlier run left. */
  readonly onBytes: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Connections that may bring nothing one after the other, and the milliseconds between them. */
const retries = { most: 3, pause: 1000 };

/**
 * Downloads a file to `target`, which appears complete, its checksum verified, or not at all. What came before a
 * connection broke, or a run ended, stays in `target.incomplete`, and is not asked for again.
 */
export async function pullFile(
  file: HubFile,
  target: string,
  { content, onBytes, signal }: PullFileOptions,
): Promise<void> {
  const partial = `${target}.incomplete`;
  await makeFolders(dirname(target)).catch(failed('cannot write', target));
  const hash = hashOf(file);
  let have = await read(partial, hash, file.bytes);
  const output = await open(partial, 'a').catch(failed('cannot write', partial));
  try {
    for (let failures = 0; have < file.bytes;) {
      const before = have;
      try {
        // Where the faster protocol fails, a firewall may let the plain one pass.
        const blob = await content({ xet: failures === 0 });
        for await (const chunk of streamOf(blob.slice(have), signal)) {
          await append(output, chunk, partial);
          hash.update(chunk);
          onBytes(chunk.length);
          have += chunk.length;
        }
        if (have < file.bytes) throw new Error('the connection was closed');
      } catch (error) {
        signal?.throwIfAborted();
        failures = have > before ? 1 : failures + 1;
        if (!mayPass(error) || (failures === retries.most && have === 0 && error instanceof UserError)) throw error;
        if (failures === retries.most) throw lost(file, have, error);
        await wait(retries.pause * (failures - 1), undefined, { signal }).catch(() => signal?.throwIfAborted());
      }
    }
    await output.sync();
  } finally {
    await output.close();
  }
  const found = hash.digest('hex');
  if (found !== file.checksum) {
    await rm(partial, { force: true });
    throw new UserError(`${file.path} arrived with the checksum ${found}, but the hub says ${file.checksum}`, {
      hint: 'what arrived is removed; the same command downloads it anew',
    });
  }
  await rename(partial, target).catch(failed('cannot write', target));
}

/** The checksum's hash, ready for the content. */
function hashOf({ checksum, bytes }: HubFile): Hash {
  return checksum.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`);
}

/** Hashes what an earlier run left, and gives its length; more than there should be is no beginning of it. */
async function read(path: string, hash: Hash, most: number): Promise<number> {
  let length = 0;
  try {
    for await (const chunk of createReadStream(path, { end: most }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      length += chunk.length;
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw fileError(error, 'cannot read', path);
  }
  return length;
}

const streamOf = (blob: Blob, signal?: AbortSignal): AsyncIterable<Uint8Array> =>
  Readable.fromWeb(blob.stream() as ReadableStream, { signal });

const append = (output: FileHandle, chunk: Uint8Array, path: string): Promise<void> =>
  output.appendFile(chunk).catch(failed('cannot write', path));

const failed =
  (action: string, path: string) =>
  (error: unknown): never => {
    throw fileError(error, action, path);
  };

const lost = ({ path, bytes }: HubFile, have: number, error: unknown): UserError =>
  new UserError(`the download of ${path} broke off after ${have} of ${bytes} bytes: ${messageOf(error)}`, {
    hint: 'the same command goes on from there',
    cause: error,
  });
