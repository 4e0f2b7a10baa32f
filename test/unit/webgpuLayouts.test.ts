/** What the webgpu backend decides without a device. */
import { describe, expect, it } from 'vitest';
import { createBatch } from '../../src/engine/index.js';
import { kernel, literal } from '../../src/engine/webgpu/compiler/kernel.js';
import { wgslOf } from '../../src/engine/webgpu/compiler/algebra.js';
import { elementWords, rowLayout } from '../../src/engine/webgpu/layouts/weightRows.js';
import { placesOf } from '../../src/engine/webgpu/operations/places.js';
import { slabBytes } from '../../src/engine/webgpu/runtime/memory.js';

describe('a row of a weight', () => {
  it.each([
    ['float32', { kind: 'float32' } as const, 10, { scalesAt: 10, pairs: false, words: 12 }],
    ['float16', { kind: 'float16' } as const, 10, { scalesAt: 5, pairs: false, words: 8 }],
    // 130 integers in 17 words, and 5 scales in 3.
    [
      'int4',
      { kind: 'int4', groupSize: 32, offsets: 'middle' } as const,
      130,
      { scalesAt: 17, pairs: false, words: 20 },
    ],
    // The same with 5 pairs of a scale and a zero point.
    [
      'int4 with zeros',
      { kind: 'int4', groupSize: 32, offsets: 'zeros' } as const,
      130,
      { scalesAt: 17, pairs: true, words: 24 },
    ],
    ['int8', { kind: 'int8', groupSize: 16 } as const, 33, { scalesAt: 9, pairs: false, words: 12 }],
  ])('%s ends at 16 bytes', (_, form, width, layout) => {
    expect(rowLayout(form, width)).toEqual(layout);
    expect(layout.words % elementWords(form)).toBe(0);
  });
});

it('slabs are a quarter larger than what they hold, at most, from 2 KiB on', () => {
  for (const bytes of [0, 1, 255, 256, 257]) expect(slabBytes(bytes)).toBe(bytes > 256 ? 512 : 256);
  for (let bytes = 2048; bytes < 1 << 20; bytes += 777) {
    expect(slabBytes(bytes)).toBeGreaterThanOrEqual(bytes);
    expect(slabBytes(bytes) % 256).toBe(0);
    expect(slabBytes(bytes)).toBeLessThanOrEqual(1.25 * bytes);
  }
});

it('tokens have their positions, their rows among the keys, and where these begin', () => {
  const batch = createBatch([[1, 2], [3]], [4, 7], [0, 2]);
  const without = createBatch([[1, 2], [3]]);
  const cache = { spec: { capacity: 10 } } as Parameters<typeof placesOf>[1];
  expect([...placesOf(batch, cache)]).toEqual([4, 4, 0, 0, 5, 5, 0, 0, 7, 27, 20, 0]);
  expect([...placesOf(without)]).toEqual([0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 0]);
});

it('a kernel declares its bindings in order, numbers first', () => {
  const { code, buffers, numbers } = kernel(
    'double',
    { reads: { x: 'f32' }, writes: { y: 'f32' }, numbers: { width: 'u32' }, lanes: 32 },
    'y[group] = 2.0 * x[group];',
  );
  expect(buffers.map(({ name }) => name)).toEqual(['x', 'y']);
  expect(numbers).toEqual([{ name: 'width', type: 'u32' }]);
  for (const line of [
    'struct Numbers { groups: u32, width: u32, }',
    '@group(0) @binding(1) var<storage, read> x: array<f32>;',
    '@group(0) @binding(2) var<storage, read_write> y: array<f32>;',
    '@compute @workgroup_size(32)',
  ])
    expect(code.split('\n')).toContain(line);
});

it('expressions and numbers become WGSL', () => {
  expect(wgslOf(['multiply', ['tanh', ['divide', 'x', 30]], 'y'])).toBe('(hyperbolicTangent((x / f32(30.0))) * y)');
  expect([1, -2.5, 1e-7, 2 ** 40].map(literal)).toEqual([
    'f32(1.0)',
    'f32(-2.5)',
    'f32(1.0000000116860974e-7)',
    'f32(1099511627776.0)',
  ]);
});
