import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import { Turns } from '../../turns.js';
import type { WeightDType } from '../../weight.js';
import type { FusibleModule, KernelModule, Launch } from '../compiler/kernel.js';
import { gemm } from '../kernels/gemm.js';
import { pairsPlan, type Int4Plan } from '../layouts/int4/int4Plan.js';
import { strictTile, type TilePlan } from '../layouts/tilePlan.js';
import { Executor } from './executor.js';
import { KernelCache, type Calls } from './kernelCache.js';
import { Memory, type Frame } from './memory.js';
import type { Numbers, Recorder } from './recorder.js';
import { Scratch } from './scratch.js';
import type { Call, Task } from './task.js';

/** Pieces of weights read at a time: as many as Node's thread pool has threads. */
const piecesAhead = 4;

/** Chunks of a task for each thread: several, as another program may take a core away in the middle of a task. */
const chunksPerThread = 4;

/** What launching a kernel needs: the memory, the compiled kernels, the threads, and the plan for matrix products. */
export class Machine {
  readonly gemm: Readonly<Record<WeightDType, ReturnType<typeof gemm>>>;
  readonly scratch: Scratch;
  /** The threads, the same for all memories. */
  readonly executor: Executor;
  /** Pieces of weights being read. */
  readonly turns = new Turns(piecesAhead);
  /** Notes what is computed, while a pass is recorded. */
  recorder: Recorder | undefined;
  readonly #kernels: KernelCache;

  constructor(
    /** How products with int4 weights are tiled; 'exact' multiplies them as float32. */
    readonly int4: Int4Plan = pairsPlan,
    readonly exactInt4 = false,
    readonly threads = 1,
    readonly plan: TilePlan = strictTile,
    readonly memory = new Memory(),
    executor?: Executor,
  ) {
    this.gemm = {
      float32: gemm(plan, 'float32'),
      bfloat16: gemm(plan, 'bfloat16'),
      float16: gemm(plan, 'float16'),
    };
    this.executor = executor ?? new Executor(threads);
    this.#kernels = new KernelCache(memory.wasm, this.executor.numbering, plan.fused);
    this.scratch = new Scratch(memory, threads, plan, int4);
  }

  /** A machine with the same threads and plans on a memory of its own. */
  beside(memory: Memory): Machine {
    return new Machine(this.int4, this.exactInt4, this.threads, this.plan, memory, this.executor);
  }

  /** A module's kernels, to compute at once. */
  kernels<E>(module: KernelModule<E> | FusibleModule<E>): Launch<E> {
    return this.recorder ? this.#recorded(module) : this.#kernels.get(module);
  }

  #recorded<E>(module: KernelModule<E> | FusibleModule<E>): Launch<E> {
    const calls = Object.entries(this.calls(module) as Record<string, (values: Record<string, number>) => Call>);
    return Object.fromEntries(
      calls.map(([name, call]) => [
        name,
        (values: Record<string, number>) => this.run([{ units: 1, chunk: 1, work: 0, calls: [call(values)] }]),
      ]),
    ) as Launch<E>;
  }

  /** As `kernels`, for calls that are part of a task. */
  calls<E>(module: KernelModule<E> | FusibleModule<E>): Calls<E> {
    return this.#kernels.calls(module);
  }

  /** Computes tasks that do not depend on each other. Their results do not depend on the number of threads. */
  run(tasks: readonly Task[]): void {
    this.recorder?.add(tasks);
    this.executor.run(tasks);
  }

  /** Address of numbers that kernels read. When a recorded pass is replayed, they are computed anew for its batch. */
  numbers(frame: Frame, batch: Batch, cache: KvCache, of: Numbers): number {
    const values = of(batch, cache);
    return this.recorder?.place(values, of) ?? frame.ints(Int32Array.from(values));
  }

  /** How many chunks work is divided into. */
  get chunks(): number {
    return this.threads === 1 ? 1 : this.threads * chunksPerThread;
  }

  /** Units for a thread to take at once, a multiple of `step`. */
  chunkOf(units: number, step = 1): number {
    return step * Math.max(1, Math.ceil(units / step / this.chunks));
  }

  /** Calls of which each unit is a row that takes `work`. */
  rowsTask(rows: number, work: number, ...calls: readonly Call[]): Task {
    return { units: rows, chunk: this.chunkOf(rows), work: rows * work, calls };
  }

  dispose(): void {
    this.executor.dispose();
  }
}
