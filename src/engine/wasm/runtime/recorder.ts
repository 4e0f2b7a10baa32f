import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import type { Arena } from './arena.js';
import type { Memory } from './memory.js';
import type { Phase } from './program.js';
import { smallestJob, type Argument, type Call, type Task } from './task.js';

/** Computes the numbers that kernels read and that differ from batch to batch. */
export type Numbers = (batch: Batch, cache: KvCache) => readonly number[];

/**
 * Records what a pass computes, in phases. Small steps that follow each other, each for a single thread, become one
 * phase.
 */
export class Recorder {
  readonly #phases: Task[][] = [];
  readonly #numbers: { address: number; of: Numbers }[] = [];
  #work = 0;

  constructor(
    private readonly memory: Memory,
    private readonly arena: Arena,
    private readonly chunksPerPhase: number,
  ) {}

  get phases(): readonly Phase[] {
    return this.#phases;
  }

  /** Multiplications and additions, roughly. */
  get work(): number {
    return this.#work;
  }

  /** The numbers to write before the pass is replayed, and where to. */
  get numbers(): readonly { readonly address: number; readonly of: Numbers }[] {
    return this.#numbers;
  }

  /** Reserves memory for such numbers, writes the first ones, and returns its address. */
  place(values: readonly number[], of: Numbers): number {
    const address = this.arena.reserve(4 * values.length);
    this.#numbers.push({ address, of });
    this.memory.replayable.ints(address, values.length).set(values);
    return address;
  }

  add(tasks: readonly Task[]): void {
    const some = tasks.filter(({ units, unitsOf }) => units > 0 || unitsOf);
    if (some.length === 0) return;
    const work = some.reduce((sum, task) => sum + task.work, 0);
    this.#work += work;
    const varies = some.some(({ unitsOf }) => unitsOf);
    if (!varies && (work < smallestJob || (some.length === 1 && some[0].units <= some[0].chunk)))
      this.#addSmall(some.flatMap(({ units, calls }) => calls.map((call) => forUnits(call, units))));
    else this.#phases.push(some.map((task) => this.#chunked(task, work)));
  }

  /**
   * A task in chunks of about the same work as those of the other tasks in its phase. They are few, since threads
   * contend for the word that counts them.
   */
  #chunked(task: Task, workOfPhase: number): Task {
    if (task.unitsOf) return task;
    const chunks = Math.max(1, Math.round((this.chunksPerPhase * task.work) / workOfPhase));
    return { ...task, chunk: task.chunk * Math.max(1, Math.ceil(task.units / chunks / task.chunk)) };
  }

  #addSmall(calls: readonly Call[]): void {
    const last = this.#phases.at(-1);
    const before = last?.length === 1 && last[0].units === 1 && !last[0].unitsOf ? last[0].calls : undefined;
    if (before) this.#phases.pop();
    this.#phases.push([{ units: 1, chunk: 1, work: 0, calls: [...(before ?? []), ...calls] }]);
  }
}

/** A call for units 0 to `units`, as the call of a task with a single unit. */
const forUnits = ({ kernel, values }: Call, units: number): Call => ({
  kernel,
  values: values.map((value) => fixed(value, units)),
});

const fixed = (value: Argument, units: number): Argument =>
  typeof value === 'number' ? value : { base: value.base + units * (value.count ?? 0), thread: value.thread };
