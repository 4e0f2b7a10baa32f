import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { hostname, uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { UserError } from '../../engine/index.js';
import { fileError, systemErrorCode } from '../fileError.js';

/** Who writes to a place: what its lock file holds. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
  readonly command: string;
}

/**
 * Milliseconds: within which a lock file that was made is also written; how often its time is set again; and how long it
 * may stand still before a process on another machine counts as gone.
 */
const times = { writing: 2000, beat: 20_000, silence: 300_000 };

/**
 * Keeps other runs away from a place by a file beside it, `.NAME.lock`, which goes when what is returned is called,
 * or with the process. UserError, naming the other run, where there is one; the lock of a process that is gone is taken over.
 */
export async function lockPlace(path: string, named: string): Promise<() => Promise<void>> {
  const file = join(dirname(path), `.${basename(path)}.lock`);
  while (!(await made(file))) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue; // gone meanwhile
    const holder = holderOf(text);
    if (holder ? await isRunning(holder, file) : await isYoung(file, times.writing)) {
      if (holder) throw inUse(holder, named, file);
      await wait(50);
    } else await removeStale(file, text);
  }
  held.add(file);
  const beat = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), times.beat).unref();
  return async () => {
    clearInterval(beat);
    held.delete(file);
    await rm(file, { force: true });
  };
}

/** Locks of this process. A second Ctrl-C does not wait for jobs to end. */
const held = new Set<string>();
process.on('exit', () => {
  for (const file of held) rmSync(file, { force: true });
});

/** Whether there was no such file, which is now this process's. */
async function made(file: string): Promise<boolean> {
  const command = [basename(process.argv[1] ?? process.execPath), ...process.argv.slice(2)].join(' ').slice(0, 200);
  const own: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString(), command };
  try {
    await writeFile(file, JSON.stringify(own), { flag: 'wx' });
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw fileError(error, 'cannot write', file);
  }
}

function holderOf(text: string): Holder | undefined {
  try {
    const { pid, host, since, command } = JSON.parse(text) as Partial<Holder>;
    const isText = [host, since, command].every((part) => typeof part === 'string');
    return Number.isInteger(pid) && isText ? ({ pid, host, since, command } as Holder) : undefined;
  } catch {
    return undefined;
  }
}

async function isRunning({ pid, host, since }: Holder, file: string): Promise<boolean> {
  if (host !== hostname()) return isYoung(file, times.silence);
  // Numbers are given again: after a start of the machine, and to the next process of a container.
  const seconds = pid === process.pid ? process.uptime() : uptime();
  return Date.parse(since) >= Date.now() - 1000 * seconds && isProcess(pid);
}

/** Whether a process of this number runs on this machine. */
export function isProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

const isYoung = (file: string, age: number): Promise<boolean> =>
  stat(file).then(
    ({ mtimeMs }) => Date.now() - mtimeMs < age,
    () => true,
  );

/** Of two runs that find the same stale lock, one may come late and get hold of the other's new one: that goes back. */
async function removeStale(file: string, text: string): Promise<void> {
  const aside = `${file}-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  await rename(file, aside).catch(() => undefined);
  const taken = await readFile(aside, 'utf8').catch(() => undefined);
  if (taken !== undefined && taken !== text) await writeFile(file, taken, { flag: 'wx' }).catch(() => undefined);
  await rm(aside, { force: true });
}

function inUse({ pid, host, since, command }: Holder, named: string, file: string): UserError {
  return new UserError(`${named} is being written by process ${pid} on ${host} since ${since} (${command})`, {
    hint: `wait for it, or choose another place; if it no longer runs, remove ${file}`,
  });
}
