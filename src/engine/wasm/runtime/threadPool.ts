import type { Worker } from '../../host.js';
import { host } from '../../hosts/index.js';
import { canShare } from './addressSpace.js';
import type { Program } from './program.js';
import { serve, takePart, words, type Assignment, type Delivery } from './takePart.js';
import { runAlone, smallestJob, type Argument, type BoundKernel, type Task } from './task.js';

/** The most numbers in a job's description; tasks that do not fit become another job. */
const tasksLength = 1 << 16;
/**
 * Milliseconds that an idle worker looks out for work before it sleeps. The next kernel comes sooner, and mostly the
 * next token too; waking takes a tenth of a millisecond.
 */
const patience = 1;

const workerSource = `(worker) => (${serve.toString()})(worker, ${takePart.toString()}, WebAssembly)`;

/**
 * The main thread and its workers, which share WebAssembly memories. A job is a list of tasks, written as numbers:
 * per task [first chunk, end of its chunks, where the next task is, units, units a chunk, calls], per call [kernel,
 * arguments], per argument the four terms of `Varying`. Threads take chunks by turns. A worker that wakes late misses a
 * job, and so does one whose modules have not come: nobody waits for it. Workers start with the first job that is worth it.
 */
export class ThreadPool {
  readonly #control = new Int32Array(sharedBytes(4 * 16));
  readonly #tasks = new Float64Array(sharedBytes(8 * tasksLength));
  readonly #workers: Worker[] = [];
  readonly #kernelOf: (id: number) => BoundKernel['run'];
  #started = false;
  #delivered = 0;

  constructor(
    /** The main thread included. */
    readonly threads: number,
    private readonly modules: Delivery[],
    kernels: readonly (BoundKernel | undefined)[],
  ) {
    this.#kernelOf = (id) => kernels[id]!.run;
  }

  run(tasks: readonly Task[]): void {
    if (this.threads === 1 || tasks.reduce((sum, { work }) => sum + work, 0) < smallestJob)
      return tasks.forEach(runAlone);
    if (!this.#started) this.#start();
    for (let from = 0; from < tasks.length;) {
      const [to, chunks] = this.#write(tasks, from);
      Atomics.store(this.#control, words.program, 0);
      this.#job(chunks, () => takePart(words, this.#control, this.#tasks, this.#kernelOf, 0));
      from = to;
    }
  }

  /**
   * Runs a program, whose threads share its work out by themselves; `alone` on the main thread, if that is not worth
   * it.
   */
  runProgram({ run, abort }: Program, alone: boolean): void {
    if (this.threads === 1 || alone) return run.run(0);
    if (!this.#started) this.#start();
    Atomics.store(this.#control, words.program, run.id + 1);
    this.#job(0, () => {
      try {
        run.run(0);
      } catch (error) {
        abort.run();
        throw error;
      }
    });
  }

  dispose(): void {
    Atomics.store(this.#control, words.stop, 1);
    Atomics.add(this.#control, words.epoch, 1);
    Atomics.notify(this.#control, words.epoch);
    for (const worker of this.#workers.splice(0)) worker.terminate();
  }

  #start(): void {
    this.#started = true;
    try {
      for (let thread = 1; thread < this.threads; thread++) this.#hire(thread);
    } catch (error) {
      fallBack(error);
    }
  }

  #hire(thread: number): void {
    const assignment: Assignment = { words, control: this.#control, tasks: this.#tasks, thread, patience };
    this.#workers.push(host.spawn(workerSource, assignment, fallBack));
  }

  /** Writes as many tasks as fit, from `from` on. Returns the first that did not, and the number of chunks. */
  #write(tasks: readonly Task[], from: number): [to: number, chunks: number] {
    const written = this.#tasks;
    let [at, chunks, to] = [0, 0, from];
    for (; to < tasks.length; to++) {
      const { units, chunk, calls } = tasks[to];
      const length = 6 + calls.reduce((sum, { values }) => sum + 2 + 4 * values.length, 0);
      if (at + length > tasksLength) break;
      written[at] = chunks;
      written[at + 1] = chunks += Math.ceil(units / chunk);
      written[at + 2] = at + length;
      written[at + 3] = units;
      written[at + 4] = chunk;
      written[at + 5] = calls.length;
      at += 6;
      for (const { kernel, values } of calls) {
        written[at] = kernel.id;
        written[at + 1] = values.length;
        at += 2;
        for (const value of values) at = this.#writeArgument(value, at);
      }
    }
    return [to, chunks];
  }

  #writeArgument(value: Argument, at: number): number {
    const written = this.#tasks;
    const varies = typeof value !== 'number';
    written[at] = varies ? value.base : value;
    written[at + 1] = varies ? (value.unit ?? 0) : 0;
    written[at + 2] = varies ? (value.count ?? 0) : 0;
    written[at + 3] = varies ? (value.thread ?? 0) : 0;
    return at + 4;
  }

  /** Opens a job to the workers; `part` is the main thread's share of it. */
  #job(chunks: number, part: () => void): void {
    const control = this.#control;
    for (; this.#delivered < this.modules.length; this.#delivered++)
      for (const worker of this.#workers) worker.send(this.modules[this.#delivered]);
    Atomics.store(control, words.delivered, this.#delivered);
    Atomics.store(control, words.chunks, chunks);
    Atomics.store(control, words.taken, 0);
    Atomics.store(control, words.open, 1);
    Atomics.add(control, words.epoch, 1);
    if (Atomics.load(control, words.asleep) > 0) Atomics.notify(control, words.epoch);
    try {
      part();
    } catch (error) {
      this.#close();
      throw error;
    }
    this.#close();
  }

  /** Ends a job. Throws a worker's error rather than the main thread's, which may only follow from it. */
  #close(): void {
    Atomics.store(this.#control, words.open, 0);
    this.#join();
    if (Atomics.load(this.#control, words.failed) === 1)
      throw new Error(`a thread of the wasm backend failed: ${this.#reason()}`);
  }

  /** Waits until the last worker has left the job: a short time, unless the system has suspended it. */
  #join(): void {
    const control = this.#control;
    for (let i = 0; ; i++) {
      const busy = Atomics.load(control, words.busy);
      if (busy === 0) return;
      if (i > 20_000) Atomics.wait(control, words.busy, busy, 1);
    }
  }

  #reason(): string {
    for (const worker of this.#workers) {
      const reason = worker.receive() as string | undefined;
      if (reason !== undefined) return reason;
    }
    return 'for an unknown reason';
  }
}

/** One thread does with memory of its own, where there is no other. */
const sharedBytes = (bytes: number): ArrayBuffer | SharedArrayBuffer =>
  canShare ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);

function fallBack(error: unknown): void {
  host.warn(`The wasm backend goes on with fewer threads: ${error instanceof Error ? error.message : String(error)}`);
}
