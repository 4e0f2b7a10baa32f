/** Work that threads share: calls of kernels whose arguments say how they differ from unit to unit. */
import type { Batch } from '../../batch.js';
import type { Parameters } from '../compiler/kernel.js';

/**
 * An argument of a call, which may depend on where the call runs: base + unit * (index of the first unit) + count *
 * (number of units) + thread * (index of the thread).
 */
export interface Varying {
  readonly base: number;
  readonly unit?: number;
  readonly count?: number;
  /** Bytes from one thread's scratch to the next one's. */
  readonly thread?: number;
}

export type Argument = number | Varying;

/** The argument plus `by`. */
export const plus = (argument: Argument, by: number): Argument =>
  typeof argument === 'number' ? argument + by : { ...argument, base: argument.base + by };

/** The argument plus `unit` for each unit before. */
export const perUnit = (argument: Argument, unit: number): Argument =>
  typeof argument === 'number' ? { base: argument, unit } : { ...argument, unit };

/** How many units a call computes. */
export const unitCount: Varying = { base: 0, count: 1 };
/** The first of a call's units, and the end of them. */
export const firstUnit: Varying = { base: 0, unit: 1 };
export const endUnit: Varying = { base: 0, unit: 1, count: 1 };

/** A kernel of an instance, known to all threads by its number. */
export interface BoundKernel {
  readonly id: number;
  readonly parameters: Parameters;
  readonly run: (...values: number[]) => void;
}

export interface Call {
  readonly kernel: BoundKernel;
  /** In order of the kernel's parameters. */
  readonly values: readonly Argument[];
}

/**
 * Work in units, which depend neither on each other nor on those of other tasks in the same job. Each unit makes the
 * same calls in order.
 */
export interface Task {
  readonly units: number;
  /** How many units another batch of the same shape has, where that differs; `chunk` is 1 then. */
  readonly unitsOf?: (batch: Batch) => number;
  /** Units that a thread takes at once. */
  readonly chunk: number;
  readonly calls: readonly Call[];
  /** The weights that it reads once, from end to end: threads that wait for it to begin can fetch them. */
  readonly weights?: { readonly address: number; readonly bytes: number };
  /** Roughly how many multiplications and additions: what is small is not worth another thread. */
  readonly work: number;
}

/** A job below this much work stays on the main thread: handing it out would take as long. */
export const smallestJob = 50_000;

/** Computes a task chunk by chunk, as thread 0. */
export function runAlone({ units, chunk, calls }: Task): void {
  for (let first = 0; first < units; first += chunk) {
    const count = Math.min(chunk, units - first);
    for (const { kernel, values } of calls) kernel.run(...values.map((value) => valueOf(value, first, count)));
  }
}

const valueOf = (value: Argument, first: number, count: number): number =>
  typeof value === 'number' ? value : value.base + first * (value.unit ?? 0) + count * (value.count ?? 0);
