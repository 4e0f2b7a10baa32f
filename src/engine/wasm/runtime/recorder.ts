import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import type { Arena } from './arena.js';
import type { Memory } from './memory.js';
import type { Phase } from './program.js';
import { smallestJob, type Argument, type Call, type Task } from './task.js';

/** Numbers that kernels read, and that differ from batch to batch. */
export type Numbers = (batch: Batch, cache: KvCache) => readonly number[];

/** Notes what a pass computes, in phases. What one thread does after another phase of one thread joins that phase. */
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

  /** What to write where before the pass is run again. */
  get numbers(): readonly { readonly address: number; readonly of: Numbers }[] {
    return this.#numbers;
  }

  /** The address at which the pass finds such numbers. */
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

  /** In chunks of about equal work for all tasks of a phase: each that is taken costs a word that threads contend for. */
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

/** A call for units 0 to `units` as one of a single unit. */
const forUnits = ({ kernel, values }: Call, units: number): Call => ({
  kernel,
  values: values.map((value) => fixed(value, units)),
});

const fixed = (value: Argument, units: number): Argument =>
  typeof value === 'number' ? value : { base: value.base + units * (value.count ?? 0), thread: value.thread };
