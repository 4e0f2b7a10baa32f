import { Numbering, compileAnew } from './kernelCache.js';
import type { Memory } from './memory.js';
import { kernelsOf, programModule, type Phase, type Program } from './program.js';
import type { Task } from './task.js';
import { ThreadPool } from './threadPool.js';

/** Threads and the kernels that they know by number, of however many memories: computes tasks, and programs made of them. */
export class Executor {
  readonly numbering = new Numbering();
  readonly #pool: ThreadPool;

  constructor(threads: number) {
    this.#pool = new ThreadPool(threads, this.numbering.modules, this.numbering.kernels);
  }

  /** Computes tasks that do not depend on each other. Their results do not depend on the number of threads. */
  run(tasks: readonly Task[]): void {
    this.#pool.run(tasks);
  }

  /** Compiles phases whose kernels are of `memory`; the program's shared words are at `control`. */
  program(phases: readonly Phase[], control: number, memory: Memory): Program {
    const module = compileAnew(programModule(phases, control));
    const { run, abort } = this.numbering.add(module, memory.wasm, kernelsOf(phases));
    return { run, abort };
  }

  /** `alone`: on this thread only. */
  runProgram(program: Program, alone: boolean): void {
    this.#pool.runProgram(program, alone);
  }

  forget({ run, abort }: Program): void {
    this.numbering.remove({ run, abort });
  }

  dispose(): void {
    this.#pool.dispose();
  }
}
