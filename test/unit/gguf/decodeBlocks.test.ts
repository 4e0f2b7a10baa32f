import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeGgml } from '../../../src/checkpoint/gguf/decodeBlocks.js';
import { floatType, ggmlTypes, type GgmlType } from '../../../src/checkpoint/gguf/ggmlTypes.js';

/** By test/oracle/make_gguf_decoded.py. */
const goldens = JSON.parse(readFileSync(new URL('decodedBlocks.json', import.meta.url), 'utf8')) as Partial<
  Record<GgmlType, { blocks: string; values: string }>
>;
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const types = (Object.keys(ggmlTypes) as GgmlType[]).filter((type) => !floatType(type));

describe.each(types)('blocks of %s', (type) => {
  it('are the floats of the Python package gguf, bit for bit', () => {
    const { blocks, values } = goldens[type]!;
    expect(decodeGgml(bytesOf(blocks), type)).toEqual(new Float32Array(bytesOf(values).buffer));
  });

  it('are read wherever they begin', () => {
    const { blocks, values } = goldens[type]!;
    const shifted = bytesOf(`00${blocks}`).subarray(1);
    expect(decodeGgml(shifted, type)).toEqual(new Float32Array(bytesOf(values).buffer));
  });
});
