import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { blockInt8 } from '../../../src/checkpoint/gguf/blockInt8.js';
import { encodeInt8, takesInt8 } from '../../../src/checkpoint/gguf/int8Blocks.js';
import { decodeGgml } from '../../../src/checkpoint/gguf/decodeBlocks.js';
import { ggmlTypes, type GgmlType } from '../../../src/checkpoint/gguf/ggmlTypes.js';
import { dequantizeInt8, float16ToFloat32, readInt8Rows, type Int8Source } from '../../../src/engine/index.js';

/** By test/oracle/make_gguf_decoded.py: two blocks of each type. */
const goldens = JSON.parse(readFileSync(new URL('decodedBlocks.json', import.meta.url), 'utf8')) as Partial<
  Record<GgmlType, { blocks: string }>
>;
const blocksOf = (type: GgmlType): Uint8Array => Uint8Array.from(Buffer.from(goldens[type]!.blocks, 'hex'));

/** Two rows of one block each. */
function source(type: GgmlType): Int8Source | undefined {
  const { block, bytes } = ggmlTypes[type];
  return blockInt8('w', [2, block], type, async (start, end) => blocksOf(type).slice(start * bytes, end * bytes));
}

describe('blocks of up to 8 bits as integers', () => {
  it.each(['Q4_0', 'Q5_0', 'Q8_0', 'IQ4_NL'] as const)(
    'of %s are the floats of the blocks, to the bit',
    async (type) => {
      const int8 = source(type)!;
      const rows = await readInt8Rows(int8, 0, 2);
      expect(dequantizeInt8(rows, 32, int8.format)).toEqual(decodeGgml(blocksOf(type), type));
      expect(await readInt8Rows(int8, 1, 2)).toMatchObject({ quants: rows.quants.subarray(32) });
    },
  );

  it.each(['Q3_K', 'Q6_K'] as const)('of %s are the floats of the blocks but for float16 of scales', async (type) => {
    const int8 = source(type)!;
    const rows = await readInt8Rows(int8, 0, 2);
    const found = dequantizeInt8(rows, 256, int8.format);
    for (const [i, value] of decodeGgml(blocksOf(type), type).entries()) {
      // Half a unit in the last of 11 bits, or of a subnormal scale.
      const scale = Math.abs(float16ToFloat32(rows.scales[Math.floor(i / 16)]));
      expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(Math.abs(rows.quants[i]) * (2 ** -11 * scale + 2 ** -25));
    }
  });

  it.each(['Q5_0', 'Q8_0', 'IQ4_NL'] as const)('of %s are blocks of Q8_0, to the bit', async (type) => {
    const int8 = source(type)!;
    expect(takesInt8('Q8_0', int8)).toBe(true);
    const blocks = encodeInt8(await readInt8Rows(int8, 0, 2));
    expect(decodeGgml(blocks, 'Q8_0')).toEqual(decodeGgml(blocksOf(type), type));
    if (type === 'Q8_0') expect(blocks).toEqual(blocksOf(type));
  });

  it('in groups of 16 are no blocks of Q8_0', () => expect(takesInt8('Q8_0', source('Q6_K')!)).toBe(false));

  it('of types with minima, and floats, are none', () => {
    for (const type of ['Q4_1', 'Q5_1', 'Q2_K', 'Q4_K', 'Q5_K', 'F16'] as const) expect(source(type)).toBeUndefined();
  });
});
