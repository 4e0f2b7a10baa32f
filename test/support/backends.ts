import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arraySource } from '../../src/engine/arraySource.js';
import type { BackendName } from '../../src/engine/backend.js';
import { createEngine } from '../../src/engine/createEngine.js';
import type { Engine } from '../../src/engine/engine.js';
import type { Shape } from '../../src/engine/errors.js';
import type { Tensor } from '../../src/engine/tensor.js';
import { sizeOf } from '../../src/engine/tensor.js';
import type { Weight, WeightDType, WeightUse } from '../../src/engine/weight.js';

/** A backend to compare with the reference: how tests are titled, and which it is. */
export type TestedBackend = readonly [title: string, factory: () => Promise<Engine>, name: BackendName];

/** Every backend that is compared with the reference. */
export const backends: readonly TestedBackend[] = [
  ['wasm', () => createEngine('wasm'), 'wasm'],
  ...(existsSync(new URL('../../src/engine/tfjs/tfjsBackend.ts', import.meta.url))
    ? [['tfjs', () => createEngine('tfjs', { tfjs: process.env.LLM_DROP_TFJS || 'cpu' }), 'tfjs'] as const]
    : []),
  ...(process.env.LLM_DROP_WEBGPU ? [['webgpu', () => createEngine('webgpu'), 'webgpu'] as const] : []),
];

/** A backend and the reference, given the same work. */
export class Pair {
  constructor(
    readonly device: Engine,
    readonly reference: Engine,
  ) {}

  /** Results of `work` on both; all that it makes must be freed by its scope and its `using`s. */
  async run(
    work: (engine: Engine) => Promise<ArrayLike<number>>,
  ): Promise<[actual: ArrayLike<number>, expected: ArrayLike<number>]> {
    return [await unchanged(this.device, work), await unchanged(this.reference, work)];
  }
}

/** `work` in a scope, after which the engine's memory is what it was. */
export async function unchanged<T>(engine: Engine, work: (engine: Engine) => Promise<T>): Promise<T> {
  const before = engine.memory();
  const scope = engine.scope();
  try {
    return await work(engine);
  } finally {
    scope.dispose();
    expect(engine.memory(), 'live memory').toEqual(before);
  }
}

/** Tests of each backend against the reference. */
export function againstReference(
  family: string,
  tests: (pair: () => Pair, backend: BackendName) => void,
  tested = backends,
): void {
  describe.each(tested)(`%s: ${family}`, (_title, factory, name) => {
    let pair: Pair;
    beforeAll(async () => {
      pair = new Pair(await factory(), await createEngine('reference'));
    });
    afterAll(() => {
      pair?.device.dispose();
      pair?.reference.dispose();
    });
    tests(() => pair, name);
  });
}

/** A property under fast-check; `runs` is small since backends' own shapes matter more than values. */
export function holds<T>(name: string, cases: fc.Arbitrary<T>, check: (value: T) => Promise<void>, runs = 20): void {
  // A processor that plays a GPU is slow.
  const [numRuns, milliseconds] = process.env.LLM_DROP_WEBGPU ? [Math.ceil(runs / 2), 240_000] : [runs, 30_000];
  it(name, () => fc.assert(fc.asyncProperty(cases, check), { numRuns }), milliseconds);
}

/** Sizes that hit a kernel's edges: 1, tile tails, primes, whole tiles. */
export const size = (most: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.integer({ min: 1, max: most }) },
    fc.constantFrom(...[1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 64].filter((n) => n <= most)),
  );

export const seed = fc.integer({ min: 1, max: 2 ** 31 - 1 });

/** Numbers in [-1, 1), the same for the same seed. */
export function random(seed: number, shape: Shape, scale = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: sizeOf(shape) }, () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * scale;
  });
}

export const floats = (engine: Engine, seed: number, shape: Shape, scale = 1): Tensor =>
  engine.tensor(random(seed, shape, scale), shape);

export function weight(
  engine: Engine,
  values: Float32Array,
  shape: Shape,
  use: WeightUse,
  dtype: WeightDType = 'float32',
): Promise<Weight> {
  return engine.pack(arraySource(values, shape, { name: 'weight', dtype }), use);
}

/** |x| |W|^T: [rows, depth] by [columns, depth], in float64, for bounds on the error of a product. */
export function magnitudes(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  rows: number,
  depth: number,
  columns: number,
): Float64Array {
  const y = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let i = 0; i < depth; i++) y[row * columns + column] += Math.abs(x[row * depth + i] * w[column * depth + i]);
  return y;
}
