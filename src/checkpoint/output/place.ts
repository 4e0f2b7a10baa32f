import { readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, sep } from 'node:path';
import { UserError } from '../../engine/index.js';
import { fileError, systemErrorCode } from '../fileError.js';

/** Where a path leads, as the file system sees it. */
export interface Place {
  /** As it was named. */
  readonly named: string;
  /** Absolute, every link followed, also those that lead to what is not there yet. */
  readonly path: string;
  /** `special` is a device, a pipe or a socket: written to as it is, and never replaced. */
  readonly kind: 'absent' | 'file' | 'folder' | 'special';
  /** What tells the place apart from others, then the folder that it lies in, then the one that holds that, and so on. */
  readonly trail: readonly string[];
  /** Whether a file has other names, too. */
  readonly manyNames: boolean;
}

/** UserError for a path that leads nowhere: through a file, or by links that form a loop. */
export async function placeOf(named: string): Promise<Place> {
  if (named === '') throw new UserError('the name of a file or folder is empty');
  try {
    const there = await stat(named).catch(() => undefined);
    if (there && !there.isFile() && !there.isDirectory())
      return { named, path: named, kind: 'special', trail: [], manyNames: false };
    const path = await followed(named);
    const kind = there ? (there.isFile() ? 'file' : 'folder') : 'absent';
    const manyNames = there?.isFile() === true && there.nlink > 1;
    return { named, path, kind, trail: await trailOf(path), manyNames };
  } catch (error) {
    const file = systemErrorCode(error) === 'ENOTDIR' ? await fileAmong(named) : undefined;
    if (file) throw new UserError(`cannot write ${named}: ${file} is a file, not a folder`, { cause: error });
    throw fileError(error, 'cannot write', named);
  }
}

/** Whether two places are the same, or one lies in the other. */
export function relation(a: Place, b: Place): 'same' | 'in' | 'holds' | undefined {
  if (a.trail.length === 0 || b.trail.length === 0) return undefined;
  if (a.trail[0] === b.trail[0]) return 'same';
  if (a.trail.includes(b.trail[0])) return 'in';
  return b.trail.includes(a.trail[0]) ? 'holds' : undefined;
}

async function followed(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  const parent = await followed(dirname(path));
  const here = join(parent, basename(path));
  const target = await readlink(here).catch(() => undefined);
  if (target === undefined) return here;
  // Not joined: `..` behind a link goes up from where the link leads.
  return followed(isAbsolute(target) ? target : `${parent}${sep}${target}`);
}

/**
 * A file goes by its device and number there, which are the same under each of its names. What is not there goes by its
 * name, whose case does not count: some file systems hold it for one.
 */
async function trailOf(path: string): Promise<string[]> {
  const parent = dirname(path);
  const above = parent === path ? [] : await trailOf(parent);
  const there = await stat(path, { bigint: true }).catch(() => undefined);
  const name = basename(path).normalize('NFC').toLowerCase();
  return [there?.ino ? `${there.dev}:${there.ino}` : `${above[0] ?? ''}/${name}`, ...above];
}

/** The part of a path that is no folder, though others are to lie in it. */
async function fileAmong(path: string): Promise<string | undefined> {
  const parent = dirname(path);
  const found = parent === path ? undefined : await fileAmong(parent);
  if (found !== undefined) return found;
  const there = await stat(path.replace(/[/\\]+$/, '')).catch(() => undefined);
  return there?.isDirectory() === false ? path : undefined;
}
