/** Has mutants read in child processes, and watches: what crashes, hangs or takes too much ends with its process alone. */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a mutant may take. */
export const limits = {
  /** Of a processor: the machine may be busy with others. */
  seconds: 5,
  /** Of the clock, until the process is ended. */
  patience: 60,
  kilobytes: 2 ** 20,
  /** Characters of a message. */
  message: 2100,
};

/** Mutants of a seed: the `first`, and every `step`-th after it, below `end`. */
export interface Order {
  readonly seed: number;
  readonly first: number;
  readonly end: number;
  readonly step: number;
  /** Targets; none are all. */
  readonly names: readonly string[];
  /** Where a mutant's files lie. */
  readonly folder: string;
  /** Leave the last mutant's files. */
  readonly keep: boolean;
}

/** Before a mutant is read, and after it. */
export interface Report {
  readonly number: number;
  readonly target: string;
  readonly changed: string;
  readonly refused?: boolean;
  readonly escape?: string;
}

export interface Escape extends Report {
  readonly escape: string;
}

export interface Outcome {
  /** By target: mutants, and how many of them were refused. */
  readonly counts: ReadonlyMap<string, { mutants: number; refused: number }>;
  readonly escapes: readonly Escape[];
}

export interface WatchOptions extends Pick<Order, 'seed' | 'names'> {
  readonly first: number;
  readonly end: number;
  readonly processes: number;
  /** Where files lie that are to stay. */
  readonly keepIn?: string;
  readonly onEscape?: (escape: Escape) => void;
}

export async function watch(o: WatchOptions): Promise<Outcome> {
  const root = o.keepIn ?? mkdtempSync(join(tmpdir(), 'llm-drop-fuzz-'));
  const counts = new Map<string, { mutants: number; refused: number }>();
  const escapes: Escape[] = [];
  const escaped = (escape: Escape): void => {
    escapes.push(escape);
    o.onEscape?.(escape);
  };
  /** Reads from one mutant on, in one process after the other. */
  const line = async (start: number): Promise<void> => {
    for (let first = start; first < o.end;) {
      const order: Order = {
        ...{ seed: o.seed, names: o.names, first, end: o.end, step: o.processes },
        ...{ folder: join(root, `mutant-${start}`), keep: o.keepIn !== undefined },
      };
      const last = await readAll(order, (report) => {
        const count = counts.get(report.target) ?? { mutants: 0, refused: 0 };
        counts.set(report.target, count);
        count.mutants++;
        if (report.refused) count.refused++;
        if (report.escape !== undefined) escaped(report as Escape);
      });
      if (!last) return;
      escaped(last);
      first = last.number + o.processes;
    }
  };
  const lines = await Promise.allSettled(Array.from({ length: o.processes }, (_, i) => line(o.first + i)));
  if (o.keepIn === undefined) rmSync(root, { recursive: true, force: true });
  const broken = lines.find((one) => one.status === 'rejected');
  if (broken) throw broken.reason;
  return { counts, escapes };
}

/** Gives the mutant at which the process ended, if it did not come to the end. */
function readAll(order: Order, onRead: (report: Report) => void): Promise<Escape | undefined> {
  const child = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx', '--max-old-space-size=1024'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let at: Report | undefined;
  let told = '';
  let hangs = false;
  let timer: NodeJS.Timeout | undefined;
  child.stderr!.on('data', (part: Buffer) => (told = (told + part.toString()).slice(-4000)));
  child.on('message', (report: Report) => {
    clearInterval(timer);
    at = undefined;
    if (report.refused !== undefined) return onRead(report);
    at = report;
    // Counted here, so that no time passes while the machine, or both processes, stand still.
    let waited = 0;
    timer = setInterval(() => {
      if (++waited < limits.patience) return;
      hangs = true;
      child.kill('SIGKILL');
    }, 1000);
  });
  child.send(order);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearInterval(timer);
      if (at)
        resolve({
          ...at,
          escape: hangs ? `a hang of ${limits.patience} seconds` : `a crash (${signal ?? code}): ${told}`,
        });
      else if (code === 0) resolve(undefined);
      else reject(new Error(`a process of mutants ended with ${signal ?? code}: ${told}`));
    });
  });
}
