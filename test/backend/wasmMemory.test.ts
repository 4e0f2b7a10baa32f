import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createEngine } from '../../src/engine/createEngine.js';
import { UserError } from '../../src/engine/errors.js';
import { Allocator } from '../../src/engine/wasm/runtime/allocator.js';
import { Memory } from '../../src/engine/wasm/runtime/memory.js';
import { partOf, strictTile } from '../../src/engine/wasm/layouts/tilePlan.js';
import { arraySource } from '../../src/engine/arraySource.js';
import { createBatch } from '../../src/engine/batch.js';
import { encodeFloats } from '../../src/engine/halfFloat.js';
import type { Shape } from '../../src/engine/errors.js';
import type { WeightDType, WeightSource } from '../../src/engine/weight.js';
import { floats, holds, random, seed, size, unchanged, weight } from '../support/backends.js';

it('blocks never overlap, are aligned, and are used again', () => {
  const sizes = fc.oneof(
    fc.integer({ min: 0, max: 5000 }),
    fc.integer({ min: 60_000, max: 70_000 }),
    fc.integer({ min: 200_000, max: 900_000 }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(sizes, fc.nat()), { maxLength: 60 }), (steps) => {
      let end = 0;
      const allocator = new Allocator(1, 2 ** 32, (bytes) => ((end = Math.max(end, bytes)), true));
      const live: { address: number; bytes: number }[] = [];
      const run = (): void => {
        for (const [bytes, choice] of steps) {
          if (choice % 3 === 0 && live.length > 0) {
            const [gone] = live.splice(choice % live.length, 1);
            allocator.free(gone.address, gone.bytes);
          } else {
            const address = allocator.allocate(bytes);
            expect(address % 64).toBe(0);
            expect(address).toBeGreaterThan(0);
            expect(address + bytes).toBeLessThanOrEqual(end);
            for (const other of live)
              expect(
                address + bytes <= other.address ||
                  other.address + other.bytes <= address ||
                  bytes === 0 ||
                  other.bytes === 0,
              ).toBe(true);
            live.push({ address, bytes });
          }
        }
        for (const { address, bytes } of live.splice(0)) allocator.free(address, bytes);
        expect(allocator.live).toBe(0);
      };
      run();
      const once = end;
      run();
      run();
      // Small blocks and spans may trade places once; they must not go on growing.
      expect(end).toBeLessThanOrEqual(2 * once);
    }),
    { numRuns: 60 },
  );
});

it('says what is missing when the memory is full', () => {
  const memory = new Memory(64);
  const block = memory.allocate(3 << 20);
  expect(() => memory.allocate(2 << 20)).toThrow(UserError);
  expect(() => memory.allocate(2 << 20)).toThrow(/2097152 bytes more are needed, .* 4194304 bytes/);
  block.free();
  memory.allocate(2 << 20);
});

it('grows under views, which then see the new memory', () => {
  const memory = new Memory();
  const first = memory.allocate(64);
  memory.floats(first.address, 16).fill(7);
  memory.allocate(50 << 20);
  expect([...memory.floats(first.address, 16)]).toEqual(Array.from({ length: 16 }, () => 7));
});

it('splits an inner size into parts as equal as may be', () => {
  expect([1, 576, 640, 641, 1536, 8192].map((depth) => partOf(depth, strictTile))).toEqual([
    1, 576, 640, 321, 512, 631,
  ]);
});

it('computes the same beyond 2 GiB, where addresses are negative as signed numbers', async () => {
  using engine = await createEngine('wasm');
  const work = async (): Promise<Float32Array> => {
    using w = await weight(engine, random(1, [77, 100]), [77, 100], 'linear');
    return await engine.readFloats(engine.linear(floats(engine, 2, [19, 100]), [{ weight: w }])[0]);
  };
  const below = await work();
  // Never written to: the system gives it no memory.
  using _far = engine.createCache({
    layers: [0],
    slots: 1,
    capacity: 4_300_000,
    keyValueHeads: 1,
    headDim: 64,
    dtype: 'float32',
  });
  expect(engine.memory().bytes).toBeGreaterThan(2 ** 31);
  const scope = engine.scope();
  const large = engine.zeros([300_000]);
  expect(await work()).toEqual(below);
  expect(large.size).toBe(300_000);
  scope.dispose();
});

/** A weight read in pieces that come in any order, `most` at a time. */
class Slowly implements WeightSource {
  readonly name = 'slow';
  reading = 0;
  most = 0;
  readonly #source: WeightSource;

  constructor(
    values: Float32Array,
    readonly shape: Shape,
    readonly dtype: WeightDType,
    /** Milliseconds for the read that begins at a row. */
    private readonly delay: (row: number) => number,
    private readonly broken?: number,
  ) {
    this.#source = arraySource(values, shape, { dtype });
  }

  readRows(): Promise<Uint8Array> {
    return Promise.reject(new Error('must be read to its place'));
  }

  async readInto(start: number, end: number, into: Uint8Array): Promise<void> {
    this.most = Math.max(this.most, ++this.reading);
    await new Promise((resolve) => setTimeout(resolve, this.delay(start)));
    this.reading--;
    if (this.broken !== undefined && start >= this.broken) throw new UserError(`row ${start} cannot be read`);
    into.set(await this.#source.readRows(start, end));
  }
}

holds(
  'weights of many pieces are whole, in whatever order these come',
  fc.record({
    seed,
    dtype: fc.constantFrom('float32' as const, 'float16' as const, 'bfloat16' as const),
    rows: fc.integer({ min: 1, max: 60 }),
    depth: fc.constantFrom(8191, 16_384, 20_001),
  }),
  async ({ seed, dtype, rows, depth }) => {
    using engine = await createEngine('wasm', { threads: 1 });
    const values = random(seed, [rows, depth]);
    const source = new Slowly(values, [rows, depth], dtype, (row) => ((seed + row) * 7) % 5);
    await unchanged(engine, async () => {
      using table = await engine.pack(source, 'embedding');
      const tokens = Int32Array.from({ length: rows }, (_, i) => i);
      const found = await engine.readFloats(engine.embed(table, createBatch([tokens])));
      expect(Buffer.compare(encodeFloats(found, dtype), encodeFloats(values, dtype))).toBe(0);
    });
    expect(source.most).toBeLessThanOrEqual(4);
  },
  10,
);

holds(
  'experts in pieces compute as experts at once',
  fc.record({ seed, experts: size(5), out: fc.integer({ min: 1, max: 30 }) }),
  async ({ seed, experts, out }) => {
    using engine = await createEngine('wasm', { threads: 1 });
    const [hidden, inner] = [9001, out];
    const shapes: Shape[] = [
      [experts, inner, hidden],
      [experts, inner, hidden],
      [experts, hidden, inner],
    ];
    const moe = async (slowly: boolean): Promise<Float32Array> =>
      unchanged(engine, async () => {
        const weights = await Promise.all(
          shapes.map((shape, i) => {
            const values = random(seed + i, shape);
            return engine.pack(
              slowly ? new Slowly(values, shape, 'float32', (row) => row % 3) : arraySource(values, shape),
              'experts',
            );
          }),
        );
        using router = await weight(engine, random(seed + 4, [experts, hidden]), [experts, hidden], 'linear');
        const [gate, up, down] = weights.map((of) => ({ weight: of }));
        const y = await engine.readFloats(
          engine.moe(floats(engine, seed + 5, [3, hidden]), router, { gate, up, down }, { topK: 1, normalise: true }),
        );
        weights.forEach((of) => of.dispose());
        return y;
      });
    expect(await moe(true)).toEqual(await moe(false));
  },
  5,
);

it('a read that fails ends the weight, and all is freed when no read goes on', async () => {
  using engine = await createEngine('wasm', { threads: 1 });
  const source = new Slowly(random(1, [80, 20_000]), [80, 20_000], 'float32', (row) => row % 7, 24);
  await unchanged(engine, async () => {
    await expect(engine.pack(source, 'linear')).rejects.toThrow(/row \d+ cannot be read/);
    expect(source.reading).toBe(0);
  });
  using after = await weight(engine, random(2, [8, 8]), [8, 8], 'linear');
  expect(after.bytes).toBe(256);
});
