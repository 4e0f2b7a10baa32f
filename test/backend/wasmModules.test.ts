import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import { signed, unsigned } from '../../src/engine/wasm/compiler/assembler.js';
import { kernel, kernelModule, type FusibleModule, type KernelModule } from '../../src/engine/wasm/compiler/kernel.js';
import { KernelCache } from '../../src/engine/wasm/runtime/kernelCache.js';
import { choose, constant, load, shuffle } from '../../src/engine/wasm/compiler/language.js';
import { each, maximum, sum } from '../../src/engine/wasm/compiler/loops.js';
import { Memory } from '../../src/engine/wasm/runtime/memory.js';
import { decodeAttention } from '../../src/engine/wasm/kernels/decodeAttention.js';
import { mapModule } from '../../src/engine/wasm/kernels/map.js';
import { gemm } from '../../src/engine/wasm/kernels/gemm.js';
import { int4Gemm } from '../../src/engine/wasm/kernels/int4/int4Gemm.js';
import { int8Gemm } from '../../src/engine/wasm/kernels/int8/int8Gemm.js';
import { pairsPlan } from '../../src/engine/wasm/layouts/int4/int4Plan.js';
import { strictTile } from '../../src/engine/wasm/layouts/tilePlan.js';

/** A file's export, where it is a module: the version that is not fused, as the other implementation knows no relaxed SIMD. */
const modulesOf = (value: unknown): KernelModule[] => {
  if (typeof value !== 'object' || value === null) return [];
  if ('strict' in value) return [(value as FusibleModule).strict];
  return 'emit' in value ? [value as KernelModule] : [];
};

/** All modules that the backend can emit: new files under kernels/ are found by themselves. */
async function allModules(): Promise<KernelModule[]> {
  const folder = new URL('../../src/engine/wasm/kernels/', import.meta.url);
  const files = await Promise.all(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => import(new URL(file, folder).href) as Promise<Record<string, unknown>>),
  );
  return [
    ...files.flatMap((file) => Object.values(file).flatMap(modulesOf)),
    ...(['float32', 'bfloat16', 'float16'] as const).flatMap((stored) => [
      gemm(strictTile, stored),
      gemm({ ...strictTile, rows: 6, rowPanels: 2 }, stored),
      gemm({ ...strictTile, unroll: 4 }, stored),
    ]),
    ...(['float32', 'float16'] as const).flatMap((stored) =>
      [1, 4].flatMap((unroll) =>
        [1, 3, 7].map((group) => decodeAttention({ plan: { ...strictTile, unroll }, group, stored })),
      ),
    ),
    decodeAttention({ plan: strictTile, group: 3, stored: 'float16', sloped: true }),
    mapModule(['multiply', ['gelu', ['tanh', 'x']], 'y'], 'beside').strict,
    mapModule(['multiply', 'x', ['sigmoid', 'y']], 'perRow').strict,
    mapModule(['divide', ['gelu_tanh', 'x'], 30], 'none').strict,
    ...[1, 2, 4].map((group) => int4Gemm(pairsPlan, group)),
    ...[16, 32].map((groupSize) => int8Gemm(strictTile, groupSize)),
  ];
}

describe('emitted modules', () => {
  it('are valid, by another implementation too', async () => {
    const toolkit = await wabt();
    const modules = await allModules();
    expect(modules.length).toBeGreaterThan(10);
    for (const { name, emit } of modules) {
      // Its validation knows no shared memories.
      const { bytes } = emit({ minimumPages: 1 });
      const parsed = toolkit.readWasm(bytes, { simd: true, threads: true });
      expect(() => parsed.validate(), name).not.toThrow();
      parsed.destroy();
    }
  });

  it('are the same whenever they are emitted', async () => {
    for (const { emit } of await allModules()) expect(emit().bytes).toEqual(emit().bytes);
  });
});

describe('numbers in the binary format', () => {
  it('are LEB128', () => {
    expect(unsigned(0)).toEqual([0]);
    expect(unsigned(624485)).toEqual([0xe5, 0x8e, 0x26]);
    expect(unsigned(2 ** 32 - 1)).toEqual([0xff, 0xff, 0xff, 0xff, 0x0f]);
    expect(signed(-123456)).toEqual([0xc0, 0xbb, 0x78]);
    expect(signed(64)).toEqual([0xc0, 0x00]);
    expect(signed(-64)).toEqual([0x40]);
    expect(signed(2 ** 32 - 1)).toEqual([0x7f]);
  });
});

describe('the kernel language', () => {
  const memory = new Memory();
  const at = memory.allocate(1024).address;
  const kernels = new KernelCache(memory.wasm);
  const ints = () => memory.ints(at, 64);
  const floats = () => memory.floats(at, 64);

  it('has loops, conditions and calls', () => {
    const { primes } = kernels.get(
      kernelModule('primes', (scope) => {
        const mark = scope.function({ at: 'i32', step: 'i32', end: 'i32' }, (k, { at, step, end }) =>
          k.for(step.times(2), end, step, (n) => k.store(at.plus(n.times(4)), constant('i32', 1))),
        );
        return {
          primes: kernel({ at: 'i32', end: 'i32' }, (k, { at, end }) =>
            k.for(2, end, 1, (n) =>
              k.if(load.i32(at.plus(n.times(4))).equals(0), () => k.call(mark, { at, step: n, end })),
            ),
          ),
        };
      }),
    );
    ints().fill(0);
    primes({ at, end: 40 });
    expect([...Array(40).keys()].filter((n) => n > 1 && ints()[n] === 0)).toEqual([
      2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37,
    ]);
  });

  it('takes rows four at a time, then the rest', () => {
    const { fold } = kernels.get(
      kernelModule('fold', () => ({
        fold: kernel({ at: 'i32', count: 'i32' }, (k, { at, count }) => {
          const total = sum(k, count, [at], (x) => x.load());
          const most = maximum(k, count, [at], (x) => x.load());
          each(k, count, [at], (x) => x.store(x.load().times(2).plus(1)));
          k.store(at, total, 128);
          k.store(at, most, 132);
        }),
      })),
    );
    for (let count = 1; count <= 13; count++) {
      const values = Float32Array.from({ length: count }, (_, i) => ((i * 7) % 13) - 20);
      floats().fill(99).set(values);
      fold({ at, count });
      expect([...floats().subarray(0, count)]).toEqual([...values].map((x) => 2 * x + 1));
      expect(floats()[count]).toBe(99);
      expect([floats()[32], floats()[33]]).toEqual([values.reduce((a, b) => a + b), Math.max(...values)]);
    }
  });

  it('compares without signs, chooses and shuffles', () => {
    const { run } = kernels.get(
      kernelModule('choose', () => ({
        run: kernel({ at: 'i32' }, (k, { at }) => {
          const large = k.let(constant('i32', -1));
          k.store(at, choose(large.greater(1), constant('i32', 5), 6));
          k.store(at, large.min(7), 4);
          const x = k.let(load.f32x4(at, 16));
          k.store(at, choose(x.less(0), constant('f32x4', 0), x), 32);
          k.store(at, shuffle(x, x, [12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3]), 48);
        }),
      })),
    );
    floats().set([-1, 2, -3, 4], 4);
    run({ at });
    expect([...ints().subarray(0, 2)]).toEqual([5, 7]);
    expect([...floats().subarray(8, 16)]).toEqual([0, 2, 0, 4, 4, -3, 2, -1]);
  });
});
