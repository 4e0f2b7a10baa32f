/**
 * What a worker thread runs. Its source is the text of these functions, so that it needs no file of its own; hence they
 * use nothing but their parameters, and name no functions within (loaders of TypeScript wrap those in one of their own).
 */
import type { MessagePort } from 'node:worker_threads';
import type { WasmMemory, WasmModule } from './webAssembly.js';

/** Words of the control block. */
export const words = {
  /** Counts jobs: what idle workers watch. */
  epoch: 0,
  /** 1 while a job may be joined. */
  open: 1,
  /** Workers within a job, or looking whether there is one. */
  busy: 2,
  /** Chunks of the job that have been taken, and all there are. */
  taken: 3,
  chunks: 4,
  /** Workers that wait to be woken. */
  asleep: 5,
  /** 1 where a worker failed: its message is at its port. */
  failed: 6,
  /** 1 to make workers end. */
  stop: 7,
} as const;
type Words = typeof words;

type Run = (...values: number[]) => void;

/** Takes chunks of the job written at `program` (see `ThreadPool`) until there are no more. */
export function takePart(
  words: Words,
  control: Int32Array,
  program: Float64Array,
  kernelOf: (id: number) => Run,
  thread: number,
): void {
  let task = 0;
  for (;;) {
    const chunk = Atomics.add(control, words.taken, 1);
    if (chunk >= control[words.chunks]) return;
    while (chunk >= program[task + 1]) task = program[task + 2];
    const units = program[task + 3];
    const size = program[task + 4];
    const first = (chunk - program[task]) * size;
    const count = Math.min(size, units - first);
    let at = task + 6;
    for (let call = 0; call < program[task + 5]; call++) {
      const values: number[] = [];
      const run = kernelOf(program[at]);
      const end = at + 2 + 4 * program[at + 1];
      for (at += 2; at < end; at += 4)
        values.push(program[at] + first * program[at + 1] + count * program[at + 2] + thread * program[at + 3]);
      run(...values);
    }
  }
}

export interface Assignment {
  readonly words: Words;
  readonly control: Int32Array;
  readonly program: Float64Array;
  /** Where modules come from. */
  readonly port: MessagePort;
  readonly thread: number;
  /** Milliseconds for which an idle worker looks for the next job before it sleeps. */
  readonly patience: number;
}

/** A module, whose kernels take the next numbers in this order. */
export interface Delivery {
  readonly module: WasmModule;
  readonly names: readonly string[];
  /** That its kernels work on. */
  readonly memory: WasmMemory;
}

interface WorkerThreads {
  readonly workerData: Assignment;
  receiveMessageOnPort(this: void, port: MessagePort): { message: unknown } | undefined;
}

/** A worker's life: joins jobs until told to stop. */
export function serve(
  { workerData, receiveMessageOnPort }: WorkerThreads,
  take: typeof takePart,
  WebAssembly: { Instance: new (module: WasmModule, imports: object) => { exports: Record<string, unknown> } },
): void {
  const { words, control, program, port, thread, patience } = workerData;
  const kernels: Run[] = [];
  let seen = 0;
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
    // First announced, then looked whether the job is still open: it ends when it is closed and nobody is busy.
    Atomics.add(control, words.busy, 1);
    try {
      if (Atomics.load(control, words.open) === 1)
        take(
          words,
          control,
          program,
          // A busy thread gets no events: modules are fetched when a job first asks for one of their kernels.
          (id) => {
            while (id >= kernels.length) {
              const { module, names, memory } = receiveMessageOnPort(port)!.message as Delivery;
              const { exports } = new WebAssembly.Instance(module, { env: { memory } });
              for (const name of names) kernels.push(exports[name] as Run);
            }
            return kernels[id];
          },
          thread,
        );
    } catch (error) {
      port.postMessage(String((error as Error).stack));
      Atomics.store(control, words.failed, 1);
    }
    Atomics.sub(control, words.busy, 1);
    Atomics.notify(control, words.busy);
  }
}
