import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createEngine } from '../../src/engine/createEngine.js';
import { UserError } from '../../src/engine/errors.js';
import { Allocator } from '../../src/engine/wasm/allocator.js';
import { Memory } from '../../src/engine/wasm/memory.js';
import { partOf, strictTile } from '../../src/engine/wasm/tilePlan.js';
import { floats, random, weight } from '../support/backends.js';

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
