/**
 * A recorded pass as a WebAssembly module: the calls of its kernels with constant arguments, and between its phases
 * barriers at which threads spin. So a pass of small matrices costs little more than its kernels.
 *
 * Threads share words of memory: one that says that a thread failed, and for each phase, on cache lines of its own, how
 * many chunks are done, how many are taken, and for each task the end of its chunks. Each thread takes one chunk after
 * another; a phase is over when all its chunks are done. Nobody waits for a thread that comes late: it finds phases
 * over, and catches up.
 */
import type { Batch } from '../../batch.js';
import { atomicAdd, atomicLoad, atomicWait, lineBytes, touchLines } from '../compiler/atomics.js';
import {
  kernel,
  kernelModule,
  type Kernel,
  type KernelFunction,
  type KernelModule,
  type Parameters,
} from '../compiler/kernel.js';
import { constant, load, type Int, type Value } from '../compiler/language.js';
import type { Argument, BoundKernel, Task } from './task.js';

/** Tasks that do not depend on each other; the next phase depends on them. */
export type Phase = readonly Task[];

/** A program's functions, on one memory. */
export interface Program {
  /** Takes part in the program as thread `thread`. */
  readonly run: BoundKernel;
  /** Makes threads fail that wait for others. Its kernel number is that of `run` plus one. */
  readonly abort: BoundKernel;
}

const lineWords = lineBytes / 4;
/** Bytes of the next phase's weights that a waiting thread fetches, and cache lines for each look. */
const [fetchBytes, fetchLines] = [1 << 14, 4];
const [done, taken, ends] = [0, lineWords, lineWords + 1];
/**
 * How often a waiting thread looks before it naps, some ten times what a phase takes: on a busy machine, the thread
 * that it waits for may need its core.
 */
const patience = 1 << 16;
const napMicroseconds = 50;

/** Where each phase's words begin, in words, and how many there are in all. */
function placesOf(phases: readonly Phase[]): { places: number[]; words: number } {
  let words = lineWords;
  const places = phases.map((phase) => {
    const place = words;
    words += lineWords * Math.ceil((ends + phase.length) / lineWords);
    return place;
  });
  return { places, words };
}

/** The shared words as they are when a program starts on a batch. */
export class ProgramState {
  readonly words: Int32Array;
  readonly #places: readonly number[];
  readonly #varying: readonly number[];

  constructor(private readonly phases: readonly Phase[]) {
    const { places, words } = placesOf(phases);
    this.words = new Int32Array(words);
    this.#places = places;
    this.#varying = [...phases.keys()].filter((at) => phases[at].some(({ unitsOf }) => unitsOf));
    for (const at of phases.keys()) this.#write(at);
  }

  /** The words for another batch of the same shape. */
  next(batch: Batch): Int32Array {
    for (const at of this.#varying) this.#write(at, batch);
    return this.words;
  }

  #write(at: number, batch?: Batch): void {
    let end = 0;
    this.phases[at].forEach(({ units, unitsOf, chunk }, task) => {
      end += Math.ceil((batch && unitsOf ? unitsOf(batch) : units) / chunk);
      this.words[this.#places[at] + ends + task] = end;
    });
  }
}

/** Kernels that a program calls. */
export const kernelsOf = (phases: readonly Phase[]): BoundKernel[] => [
  ...new Set(phases.flatMap((phase) => phase.flatMap(({ calls }) => calls.map(({ kernel: called }) => called)))),
];

/** Emits a program whose shared words are at `control`. */
export const programModule = (phases: readonly Phase[], control: number): KernelModule =>
  kernelModule('program', (scope) => {
    const callees = new Map(
      kernelsOf(phases).map((called) => [called, scope.import(String(called.id), called.parameters)]),
    );
    const { places } = placesOf(phases);
    const steps = phases.map((phase, at) =>
      scope.function({ thread: 'i32' }, (k, { thread }) =>
        emitPhase(k, phase, phases[at + 1]?.[0].weights, control, control + 4 * places[at], callees, thread),
      ),
    );
    return {
      run: kernel({ thread: 'i32' }, (k, { thread }) => steps.forEach((step) => k.call(step, { thread }))),
      abort: kernel({}, (k) => k.do(atomicAdd(constant('i32', control), 1))),
    };
  });

type Callees = ReadonlyMap<BoundKernel, KernelFunction<Parameters>>;

function emitPhase(
  k: Kernel,
  phase: Phase,
  next: Task['weights'],
  control: number,
  at: number,
  callees: Callees,
  thread: Int,
): void {
  const word = (index: number): Int => constant('i32', at + 4 * index);
  const total = k.let(load.i32(word(ends + phase.length - 1)));
  const chunk = k.let(atomicAdd(word(taken), 1));
  const computed = k.let(constant('i32', 0));
  const compute = (task: number): void => {
    const emit = (): void =>
      emitTask(k, phase[task], chunk, task > 0 ? word(ends + task - 1) : undefined, callees, thread);
    if (task === phase.length - 1) emit();
    else k.if(chunk.less(load.i32(word(ends + task))), emit, () => compute(task + 1));
  };
  k.while(
    () => chunk.less(total),
    () => {
      compute(0);
      computed.add(1);
      chunk.set(atomicAdd(word(taken), 1));
    },
  );
  k.if(computed.differs(0), () => k.do(atomicAdd(word(done), computed)));
  const looks = k.let(constant('i32', 0));
  const finished = k.let(atomicLoad(word(done)));
  const fetch = next && fetching(k, next, thread);
  k.while(
    () => finished.less(total),
    () => {
      fetch?.();
      finished.set(atomicLoad(word(done)));
      looks.add(1);
      k.if(looks.greater(patience), () => {
        k.if(atomicLoad(constant('i32', control)).differs(0), () => k.fail());
        k.if(finished.less(total), () => k.do(atomicWait(word(done), finished, napMicroseconds)));
      });
    },
  );
}

/** Emits a step that fetches some of the next weights into a near cache; each thread fetches a part of its own. */
function fetching(k: Kernel, { address, bytes }: NonNullable<Task['weights']>, thread: Int): () => void {
  const at = k.let(thread.times(fetchBytes).plus(address));
  const step = fetchLines * lineBytes;
  const last = k.let(
    at
      .plus(fetchBytes)
      .min(constant('i32', address + bytes))
      .minus(step),
  );
  return () =>
    k.if(at.less(last), () => {
      touchLines(k, at, fetchLines);
      at.add(step);
    });
}

/** The calls of one chunk; the task's chunks begin where the one before it ends. */
function emitTask(
  k: Kernel,
  { units, unitsOf, chunk: size, calls }: Task,
  chunk: Int,
  begin: Int | undefined,
  callees: Callees,
  thread: Int,
): void {
  const single = units <= size && !unitsOf;
  const first = k.let(single ? constant('i32', 0) : (begin ? chunk.minus(load.i32(begin)) : chunk).times(size));
  const count = k.let(size === 1 ? constant('i32', 1) : constant('i32', units).minus(first).min(size));
  for (const { kernel: called, values } of calls)
    k.call(
      callees.get(called)!,
      Object.fromEntries(
        Object.entries(called.parameters).map(([name, kind], i) => [
          name,
          kind === 'i32' ? valueOf(values[i], first, count, thread) : constant(kind, values[i] as number),
        ]),
      ),
    );
}

function valueOf(value: Argument, first: Int, count: Int, thread: Int): Value<'i32'> {
  if (typeof value === 'number') return constant('i32', value);
  const terms: Int[] = [];
  if (value.unit) terms.push(first.times(value.unit));
  if (value.count) terms.push(count.times(value.count));
  if (value.thread) terms.push(thread.times(value.thread));
  return terms.reduce((sum, term) => sum.plus(term), constant('i32', value.base));
}
