/**
 * What a worker thread runs. Workers are started from the source text of these functions, so that they need no file of
 * their own. Hence the functions use nothing but their parameters, and have no named functions inside (TypeScript
 * loaders wrap those in a helper that a worker lacks).
 */
import type { WorkerSide } from '../../host.js';
import type { WasmMemory, WasmModule } from '../compiler/webAssembly.js';

/** Words of the control block. */
export const words = {
  /** Counts jobs: what idle workers watch. */
  epoch: 0,
  /** 1 while a job may be joined. */
  open: 1,
  /** Workers that are in a job, or about to see whether there is one. */
  busy: 2,
  /** Chunks of the job that have been taken, and all there are. */
  taken: 3,
  chunks: 4,
  /** Workers that wait to be woken. */
  asleep: 5,
  /** 1 where a worker failed: it has sent why. */
  failed: 6,
  /** 1 to make workers end. */
  stop: 7,
  /** Where the job is a program (see `program.ts`): the number of its `run` plus one, which is that of its `abort`. */
  program: 8,
  /** Deliveries that were sent to all workers. */
  delivered: 9,
} as const;
type Words = typeof words;

type Run = (...values: number[]) => void;

/** Takes chunks of the job written at `tasks` (see `ThreadPool`) until there are no more; a program does so by itself. */
export function takePart(
  words: Words,
  control: Int32Array,
  tasks: Float64Array,
  kernelOf: (id: number) => Run,
  thread: number,
): void {
  const program = control[words.program];
  if (program > 0) return kernelOf(program - 1)(thread);
  let task = 0;
  for (;;) {
    const chunk = Atomics.add(control, words.taken, 1);
    if (chunk >= control[words.chunks]) return;
    while (chunk >= tasks[task + 1]) task = tasks[task + 2];
    const units = tasks[task + 3];
    const size = tasks[task + 4];
    const first = (chunk - tasks[task]) * size;
    const count = Math.min(size, units - first);
    let at = task + 6;
    for (let call = 0; call < tasks[task + 5]; call++) {
      const values: number[] = [];
      const run = kernelOf(tasks[at]);
      const end = at + 2 + 4 * tasks[at + 1];
      for (at += 2; at < end; at += 4)
        values.push(tasks[at] + first * tasks[at + 1] + count * tasks[at + 2] + thread * tasks[at + 3]);
      run(...values);
    }
  }
}

export interface Assignment {
  readonly words: Words;
  readonly control: Int32Array;
  readonly tasks: Float64Array;
  readonly thread: number;
  /** Milliseconds for which an idle worker looks for the next job before it sleeps. */
  readonly patience: number;
}

/**
 * A module, whose kernels take the next numbers in the order of their names; or numbers of kernels that are no longer
 * needed.
 */
export interface Delivery {
  readonly module?: WasmModule;
  readonly names: readonly string[];
  /** The memory that its kernels work on. */
  readonly memory?: WasmMemory;
  /** Numbers of the kernels that it calls. */
  readonly imports?: readonly number[];
  readonly removed?: readonly number[];
}

/** A worker's life: joins jobs until told to stop. It joins none whose modules have not come yet. */
export async function serve(
  worker: WorkerSide<Assignment>,
  take: typeof takePart,
  WebAssembly: { Instance: new (module: WasmModule, imports: object) => { exports: Record<string, unknown> } },
): Promise<void> {
  const { words, control, tasks, thread, patience } = worker.data;
  const kernels: (Run | undefined)[] = [];
  let seen = 0;
  let received = 0;
  while (control[words.stop] === 0) {
    const patient = performance.now() + patience;
    for (let i = 1; Atomics.load(control, words.epoch) === seen; i++)
      if (i % 64 === 0 && performance.now() > patient) break;
    if (Atomics.load(control, words.epoch) === seen) {
      Atomics.add(control, words.asleep, 1);
      Atomics.wait(control, words.epoch, seen);
      Atomics.sub(control, words.asleep, 1);
      continue;
    }
    seen = Atomics.load(control, words.epoch);
    for (; received < Atomics.load(control, words.delivered); received++) {
      const { module, names, memory, imports, removed } = (await worker.receive()) as Delivery;
      for (const gone of removed ?? []) kernels[gone] = undefined;
      if (!module) continue;
      const kernel = Object.fromEntries((imports ?? []).map((imported) => [imported, kernels[imported]]));
      const { exports } = new WebAssembly.Instance(module, { env: { memory }, kernel });
      for (const name of names) kernels.push(exports[name] as Run);
    }
    // Announce first, then look whether the job is still open: a job has ended when it is closed and nobody is busy.
    Atomics.add(control, words.busy, 1);
    try {
      if (Atomics.load(control, words.open) === 1 && Atomics.load(control, words.delivered) === received)
        take(words, control, tasks, (id) => kernels[id]!, thread);
    } catch (error) {
      worker.send(String((error as Error).stack));
      Atomics.store(control, words.failed, 1);
      // Others may wait for the chunk that this thread had taken, so it aborts the program.
      if (control[words.program] > 0) kernels[control[words.program]]!();
    }
    Atomics.sub(control, words.busy, 1);
    Atomics.notify(control, words.busy);
  }
}
