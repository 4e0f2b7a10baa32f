import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../../engine/index.js';
import { isProcess } from './lock.js';

/** What this process is writing: no remains, and not to be removed. */
const active = new Set<string>();

/** A name beside `path`, `.NAME.partial-PID-xxxxxx`: on the same file system, and told apart by the process that made it. */
export class HiddenPath implements Disposable {
  readonly path: string;

  constructor(path: string, kind: 'partial' | 'replaced') {
    const suffix = `${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
    this.path = join(dirname(path), `.${basename(path)}.${kind}-${suffix}`);
    active.add(this.path);
  }

  /** An error that calls the path by the name that people gave it. */
  shown(error: unknown, name: string): unknown {
    return error instanceof UserError && error.message.includes(this.path)
      ? new UserError(error.message.replaceAll(this.path, name), { cause: error })
      : error;
  }

  [Symbol.dispose](): void {
    active.delete(this.path);
  }
}

/** Removes what killed runs left; a folder set aside by a run that died in between its two renames is put back first. */
export async function clearRemains(path: string): Promise<void> {
  const parent = dirname(path);
  for (const name of await readdir(parent)) {
    const rest = name.startsWith(`.${basename(path)}.`) ? name.slice(basename(path).length + 2) : '';
    const match = /^(partial|replaced)-(\d+)-[a-z0-9]*$/.exec(rest);
    const remains = join(parent, name);
    if (!match || active.has(remains) || isOther(Number(match[2]))) continue;
    if (match[1] === 'replaced' && !(await isThere(path))) await rename(remains, path);
    else await rm(remains, { recursive: true, force: true });
  }
}

/** Whether another process of this number runs: this one's are known. */
const isOther = (pid: number): boolean => pid !== process.pid && isProcess(pid);

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
