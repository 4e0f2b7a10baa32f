import { rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError } from '../fileError.js';
import { makeFolders } from '../makeFolders.js';
import type { Output } from './checkFile.js';
import { checkOutputs, type JobPaths } from './checkOutputs.js';
import { lockPlace } from './lock.js';
import { placeOf } from './place.js';

type Release = () => Promise<void>;

/**
 * A job says here, before any work, what it reads and what it writes: what `checkOutputs` refuses is refused, and each
 * output is locked against other runs until what is returned is disposed.
 */
export async function claimOutputs(paths: JobPaths): Promise<AsyncDisposable> {
  await checkOutputs(paths);
  const releases: Release[] = [];
  const dispose = async (): Promise<void> => {
    for (const release of releases.reverse()) await release();
  };
  try {
    for (const output of paths.writes) releases.push(...(await claim(output)));
    return { [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function claim({ path: named, kind, placed }: Output): Promise<Release[]> {
  const place = await placeOf(named);
  if (place.kind === 'special') return [];
  const parent = dirname(place.path);
  const first = kind === 'folder' || placed ? await madeFolders(parent, named) : undefined;
  const unmade = async (): Promise<void> => {
    if (first !== undefined) await removeEmpty(parent, first);
  };
  try {
    return [unmade, await lockPlace(place.path, named)];
  } catch (error) {
    await unmade();
    throw error;
  }
}

/** The first of the folders that had to be made. */
const madeFolders = (folder: string, named: string): Promise<string | undefined> =>
  makeFolders(folder).catch((error: unknown) => {
    throw fileError(error, 'cannot write', named);
  });

/** The folders that were made for a result that did not come. */
async function removeEmpty(folder: string, first: string): Promise<void> {
  try {
    await rmdir(folder);
    if (folder !== first) await removeEmpty(dirname(folder), first);
  } catch {
    // What holds something stays.
  }
}
