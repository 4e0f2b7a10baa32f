import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeGgml } from '../../../src/checkpoint/gguf/decodeBlocks.js';
import { encodeGgml, roundingBound, type WrittenType } from '../../../src/checkpoint/gguf/encodeBlocks.js';
import { ggmlBytes, ggmlTypes } from '../../../src/checkpoint/gguf/ggmlTypes.js';
import { expectClose } from '../../support/expectClose.js';

/** By test/oracle/make_gguf_goldens.py. */
const goldens = JSON.parse(readFileSync(new URL('goldenBlocks.json', import.meta.url), 'utf8')) as Record<
  string,
  Record<'values' | Exclude<WrittenType, 'F32'>, string>
>;

const floats = (hex: string): Float32Array => new Float32Array(Uint8Array.from(Buffer.from(hex, 'hex')).buffer);

describe.each(['F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1'] as const)('%s', (type) => {
  it.each(Object.keys(goldens))('has the bytes of the Python package gguf: %s', (name) => {
    const golden = goldens[name];
    expect(Buffer.from(encodeGgml(floats(golden.values), type)).toString('hex')).toBe(golden[type]);
  });

  it('decodes to what was encoded, within its rounding', () => {
    const values = fc
      .tuple(
        fc.array(fc.integer({ min: -(2 ** 20), max: 2 ** 20 }), { minLength: 64, maxLength: 64 }),
        fc.integer({ min: -24, max: 8 }),
      )
      .map(([array, exponent]) => Float32Array.from(array, (n) => (n / 2 ** 20) * 2 ** exponent));
    fc.assert(
      fc.property(values, (given) => {
        const bytes = encodeGgml(given, type);
        expect(bytes.byteLength).toBe(ggmlBytes(type, 64));
        const { block } = ggmlTypes[type];
        const most = (i: number): number => {
          const start = i - (i % block);
          return given.subarray(start, start + block).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        };
        expectClose(decodeGgml(bytes, type), given, (i) => roundingBound(type, most(i)));
      }),
    );
  });

  it('is stable: decoded values encode to the same blocks', () => {
    // But for Q4_1, whose maximum moves with the float16 of its scale.
    if (type === 'Q4_1') return;
    const given = floats(goldens.normal.values);
    const once = decodeGgml(encodeGgml(given, type), type);
    expectClose(decodeGgml(encodeGgml(once, type), type), once, (i) => 2 ** -9 * Math.abs(once[i]));
  });
});

it('refuses part of a block', () => expect(() => encodeGgml(new Float32Array(33), 'Q4_0')).toThrow(/blocks of 32/));
