import { mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UserError } from '../engine/index.js';
import { fileError, systemErrorCode } from './fileError.js';

/**
 * Writes a folder that appears complete or not at all: `write` fills a hidden folder beside `target`, which is flushed
 * to the disk and renamed over it. Remains of runs that were killed are removed on the next run for the same target.
 *
 * A target that holds anything is refused, unless `overwrite` is given and it is a model folder (has a config.json):
 * the old folder is then set aside, and put back when the exchange fails. Disk and permission errors are UserErrors.
 */
export async function writeFolderAtomically<T>(
  target: string,
  write: (folder: string) => Promise<T>,
  o: { overwrite?: boolean } = {},
): Promise<T> {
  try {
    return await writeAndSwap(await realTarget(target), target, write, o.overwrite ?? false);
  } catch (error) {
    throw fileError(error, 'cannot write', target);
  }
}

/** Hidden folders that this process is writing: not remains, and not to be removed. */
const active = new Set<string>();

async function writeAndSwap<T>(
  path: string,
  shown: string,
  write: (folder: string) => Promise<T>,
  overwrite: boolean,
): Promise<T> {
  const parent = dirname(path);
  await mkdir(parent, { recursive: true });
  await clearRemains(path);
  await checkTarget(path, shown, overwrite);
  const folder = hiddenName(path, 'partial');
  active.add(folder);
  try {
    await mkdir(folder);
    const result = await write(folder);
    await flush(folder);
    await checkTarget(path, shown, overwrite);
    await swap(folder, path);
    await flushEntry(parent);
    return result;
  } catch (error) {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    throw error instanceof UserError && error.message.includes(folder)
      ? new UserError(error.message.replaceAll(folder, shown), { cause: error })
      : error;
  } finally {
    active.delete(folder);
  }
}

/** Symbolic links are followed, so that the folder behind one is replaced and not the link. */
async function realTarget(target: string): Promise<string> {
  return realpath(target).catch(() => resolve(target));
}

async function kindOf(path: string): Promise<'absent' | 'empty' | 'full' | 'file'> {
  try {
    if (!(await stat(path)).isDirectory()) return 'file';
    return (await readdir(path)).length ? 'full' : 'empty';
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'absent';
    throw error;
  }
}

async function checkTarget(path: string, shown: string, overwrite: boolean): Promise<void> {
  const kind = await kindOf(path);
  if (kind === 'absent') return;
  if (kind === 'file') throw new UserError(`${shown} is a file, expected a folder to write to`);
  if ([process.cwd(), homedir()].some((place) => contains(path, place)))
    throw new UserError(`${shown} cannot be replaced as a whole`, { hint: 'name a folder below it' });
  if (kind === 'empty') return;
  if (!overwrite)
    throw new UserError(`${shown} exists and is not empty`, {
      hint: 'choose another folder, or allow it to be overwritten',
    });
  if ((await kindOf(join(path, 'config.json'))) !== 'file')
    throw new UserError(`${shown} is not a model folder (it has no config.json), so it is not overwritten`, {
      hint: 'remove it yourself or choose another folder',
    });
}

function contains(folder: string, place: string): boolean {
  const way = relative(folder, place);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

async function swap(folder: string, path: string): Promise<void> {
  const kind = await kindOf(path);
  if (kind !== 'full') {
    if (kind === 'empty') await rmdir(path);
    return rename(folder, path);
  }
  const old = hiddenName(path, 'replaced');
  active.add(old);
  try {
    await rename(path, old);
    await rename(folder, path).catch(async (error: unknown) => {
      await rename(old, path);
      throw error;
    });
    await rm(old, { recursive: true, force: true });
  } finally {
    active.delete(old);
  }
}

/** `.name.partial-PID-xxxxxx`, beside the target: on the same file system, and told apart by the process that made it. */
function hiddenName(path: string, kind: 'partial' | 'replaced'): string {
  return join(dirname(path), `.${basename(path)}.${kind}-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
}

/** Removes what killed runs left; a folder set aside by a run that died in between the two renames is put back first. */
async function clearRemains(path: string): Promise<void> {
  const parent = dirname(path);
  for (const name of await readdir(parent)) {
    const rest = name.startsWith(`.${basename(path)}.`) ? name.slice(basename(path).length + 2) : '';
    const match = /^(partial|replaced)-(\d+)-[a-z0-9]*$/.exec(rest);
    const remains = join(parent, name);
    if (!match || active.has(remains) || isAlive(Number(match[2]))) continue;
    if (match[1] === 'replaced' && (await kindOf(path)) === 'absent') await rename(remains, path);
    else await rm(remains, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Flushes every file and folder below `folder`. */
async function flush(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await flush(join(folder, entry.name));
    else if (entry.isFile()) await flushEntry(join(folder, entry.name));
  }
  await flushEntry(folder);
}

async function flushEntry(path: string): Promise<void> {
  let handle;
  try {
    handle = await open(path, 'r');
    await handle.sync();
  } catch (error) {
    const code = systemErrorCode(error);
    // Not every system can flush a folder, or a file that is open for reading only; there, a loss of power may cost the
    // result.
    if (code !== 'EPERM' && code !== 'EACCES' && code !== 'EISDIR' && code !== 'EINVAL' && code !== 'EBADF')
      throw error;
  } finally {
    await handle?.close();
  }
}
