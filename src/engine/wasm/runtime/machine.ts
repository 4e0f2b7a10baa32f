import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import { Turns } from '../../turns.js';
import type { WeightDType } from '../../weight.js';
import type { FusibleModule, KernelModule, Launch } from '../compiler/kernel.js';
import { gramTile } from '../kernels/columnProducts.js';
import { gemm } from '../kernels/gemm.js';
import { wordsOf } from '../kernels/int4/nibbleDots.js';
import { int4PanelRows } from '../layouts/int4/int4Panels.js';
import { pairsPlan, type Int4Plan } from '../layouts/int4/int4Plan.js';
import { panelRows } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import { strictTile, type TilePlan } from '../layouts/tilePlan.js';
import { KernelCache, Numbering, compileAnew, type Calls } from './kernelCache.js';
import { Memory, type Frame } from './memory.js';
import { programModule, kernelsOf, type Phase, type Program } from './program.js';
import type { Numbers, Recorder } from './recorder.js';
import type { Call, Task, Varying } from './task.js';
import { ThreadPool } from './threadPool.js';

/** Pieces of weights being read at a time: as many as Node has threads that read. */
const piecesAhead = 4;

/** Chunks of a task for each thread: some more than one, as another program may take a core away. */
const chunksPerThread = 4;

/** What launching a kernel needs: the memory, the compiled kernels, the threads, and the plan for matrix products. */
export class Machine {
  readonly gemm: Readonly<Record<WeightDType, ReturnType<typeof gemm>>>;
  readonly #cache: KernelCache;
  readonly #numbering: Numbering;
  readonly #pool: ThreadPool;
  #recorder: Recorder | undefined;

  /** Room for a tile of a Gram matrix, of each thread; also below. */
  readonly sums: Varying;
  /** A part of a tile's panels in float32. */
  readonly wide: Varying;
  /** A panel's columns of a block of rows. */
  readonly stripe: Varying;
  /** A part of a tile's columns of int4 weights, unpacked: operands, then scales and zero points at most of each block. */
  readonly unpacked: Varying;
  /** A group of activations. */
  readonly pad: Varying;

  /** Pieces of weights being read. */
  readonly turns = new Turns(piecesAhead);

  constructor(
    /** How products with int4 weights are tiled; 'exact' multiplies them as float32. */
    readonly int4: Int4Plan = pairsPlan,
    readonly exactInt4 = false,
    readonly threads = 1,
    readonly plan: TilePlan = strictTile,
    readonly memory = new Memory(),
    sibling?: Machine,
  ) {
    const { panels, depth, block } = plan;
    this.gemm = {
      float32: gemm(plan, 'float32'),
      bfloat16: gemm(plan, 'bfloat16'),
      float16: gemm(plan, 'float16'),
    };
    this.#numbering = sibling ? sibling.#numbering : new Numbering();
    this.#cache = new KernelCache(memory.wasm, this.#numbering);
    this.#pool = sibling ? sibling.#pool : new ThreadPool(threads, this.#numbering.modules, this.#numbering.kernels);
    const scratch = (bytes: number): Varying => ({
      base: this.memory.allocate(bytes * threads).address,
      thread: bytes,
    });
    this.sums = scratch(8 * gramTile ** 2);
    this.wide = scratch(4 * panels * panelRows * depth);
    this.stripe = scratch(4 * Math.max(panelRows * block, int4PanelRows * int4.block));
    this.unpacked = scratch(16 * int4.tileVectors * int4.depthBlocks * (4 * wordsOf(int4) + 2));
    this.pad = scratch(4 * 128);
  }

  /** Another with the same threads and plans, on a memory of its own. */
  beside(memory: Memory): Machine {
    return new Machine(this.int4, this.exactInt4, this.threads, this.plan, memory, this);
  }

  /** Scratch of each thread for the length of a call. */
  scratch(frame: Frame, bytes: number): Varying {
    const each = roundUp(bytes, 64);
    return { base: frame.take(each * this.threads), thread: each };
  }

  /** A module's kernels, to compute at once. */
  kernels<E>(module: KernelModule<E> | FusibleModule<E>): Launch<E> {
    return this.#recorder ? this.#recorded(module) : this.#cache.get(this.#version(module));
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
    return this.#cache.calls(this.#version(module));
  }

  #version<E>(module: KernelModule<E> | FusibleModule<E>): KernelModule<E> {
    return 'emit' in module ? module : this.plan.fused ? module.fused : module.strict;
  }

  /** Computes tasks that do not depend on each other. Their results do not depend on the number of threads. */
  run(tasks: readonly Task[]): void {
    this.#recorder?.add(tasks);
    this.#pool.run(tasks);
  }

  /** From now on `recorder` notes what is computed; undefined ends it. */
  set recorder(recorder: Recorder | undefined) {
    this.#recorder = recorder;
  }

  /** Address of numbers for kernels, which a recorded pass gets anew for each of its batches. */
  numbers(frame: Frame, batch: Batch, cache: KvCache, of: Numbers): number {
    const values = of(batch, cache);
    return this.#recorder?.place(values, of) ?? frame.ints(Int32Array.from(values));
  }

  program(phases: readonly Phase[], control: number): Program {
    const kernels = kernelsOf(phases);
    const { run, abort } = this.#numbering.add(compileAnew(programModule(phases, control)), this.memory.wasm, kernels);
    return { run, abort };
  }

  runProgram(program: Program, alone: boolean): void {
    this.#pool.runProgram(program, alone);
  }

  forget({ run, abort }: Program): void {
    this.#numbering.remove({ run, abort });
  }

  /** Into how many chunks work is divided. */
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
    this.#pool.dispose();
  }
}
