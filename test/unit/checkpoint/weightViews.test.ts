import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sliceExperts, sliceSource, stackedSource } from '../../../src/checkpoint/index.js';
import { arraySource, decodeFloats, type WeightSource } from '../../../src/engine/index.js';

const counting = (count: number, from = 0): Float32Array => Float32Array.from({ length: count }, (_, i) => from + i);
const rows = async (source: WeightSource, start: number, end: number): Promise<number[]> => [
  ...decodeFloats(await source.readRows(start, end), source.dtype),
];

describe('views of weights', () => {
  it('stack and slice are inverse, on any range of rows', async () => {
    const sizes = fc.record({
      experts: fc.integer({ min: 1, max: 4 }),
      out: fc.integer({ min: 1, max: 5 }),
      width: fc.integer({ min: 1, max: 3 }),
      a: fc.nat(),
      b: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(sizes, async ({ experts, out, width, a, b }) => {
        const values = counting(experts * out * width);
        const fused = arraySource(values, [experts, out, width], { name: 'w' });
        const stacked = stackedSource(
          Array.from({ length: experts }, (_, e) => sliceSource(fused, e * out, (e + 1) * out)),
        );
        expect(stacked.shape).toEqual([experts, out, width]);
        const [start, end] = [a % (experts * out + 1), b % (experts * out + 1)].sort((x, y) => x - y);
        expect(await rows(stacked, start, end)).toEqual([...values.subarray(start * width, end * width)]);
      }),
    );
  });

  it('a half of a fused tensor is taken from every expert', async () => {
    const fused = arraySource(counting(2 * 4 * 3), [2, 4, 3], { name: 'gate_up', dtype: 'bfloat16' });
    const up = sliceExperts(fused, 2, 4);
    expect(up.shape).toEqual([2, 2, 3]);
    expect(await rows(up, 0, 4)).toEqual([6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]);
    expect(await rows(up, 1, 3)).toEqual([9, 10, 11, 18, 19, 20]);
  });

  it('stack sources of several types in float32', async () => {
    const types = ['float16', 'float32', 'bfloat16'] as const;
    const stack = stackedSource(types.map((dtype) => arraySource(counting(6), [2, 3], { name: dtype, dtype })));
    expect([stack.dtype, ...stack.shape]).toEqual(['float32', 3, 2, 3]);
    expect(await rows(stack, 1, 5)).toEqual([3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2]);
  });

  it('say what does not fit', async () => {
    const w = arraySource(counting(6), [2, 3], { name: 'a' });
    expect(() => stackedSource([w, arraySource(counting(6), [3, 2], { name: 'b' })])).toThrow(
      'b is [3,2], expected the same as a: [2,3]',
    );
    expect(() => stackedSource([])).toThrow('nothing to stack');
    expect(() => sliceSource(w, 1, 3)).toThrow('rows [1, 3) do not lie within its 2 rows');
    expect(() => sliceExperts(w, 0, 1)).toThrow('a is [2,3], expected [experts, out, in]');
    await expect(sliceSource(w, 1, 2).readRows(0, 2)).rejects.toThrow('rows [0, 2) do not lie within its 1 rows');
  });
});
