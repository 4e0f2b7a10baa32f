import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { blockInt4 } from '../../../src/checkpoint/gguf/blockInt4.js';
import { decodeGgml } from '../../../src/checkpoint/gguf/decodeBlocks.js';
import { ggmlTypes, type GgmlType } from '../../../src/checkpoint/gguf/ggmlTypes.js';
import { encodeInt4, takesInt4 } from '../../../src/checkpoint/gguf/int4Blocks.js';
import { dequantizeRows, float16ToFloat32, readInt4Rows, type Int4Source } from '../../../src/engine/index.js';

/** By test/oracle/make_gguf_decoded.py: two blocks of each type. */
const goldens = JSON.parse(readFileSync(new URL('decodedBlocks.json', import.meta.url), 'utf8')) as Partial<
  Record<GgmlType, { blocks: string }>
>;
const blocksOf = (type: GgmlType): Uint8Array => Uint8Array.from(Buffer.from(goldens[type]!.blocks, 'hex'));

/** Two rows of one block each. */
function source(type: GgmlType): Int4Source | undefined {
  const { block, bytes } = ggmlTypes[type];
  return blockInt4('w', [2, block], type, async (start, end) => blocksOf(type).slice(start * bytes, end * bytes));
}

describe('blocks of 4 bits as integers', () => {
  it.each(['Q4_0', 'Q4_1'] as const)(
    'of %s are the floats of the blocks, to the bit, and the same blocks again',
    async (type) => {
      const int4 = source(type)!;
      const rows = await readInt4Rows(int4, 0, 2);
      expect(dequantizeRows(rows, 32, int4.format)).toEqual(decodeGgml(blocksOf(type), type));
      expect(takesInt4(type, int4)).toBe(true);
      expect(encodeInt4(rows, 32, int4.format, type)).toEqual(blocksOf(type));
      expect(await readInt4Rows(int4, 1, 2)).toMatchObject({ quants: rows.quants.subarray(16) });
    },
  );

  it('of Q4_K are the floats of the blocks but for float16 of scales and minima', async () => {
    const int4 = source('Q4_K')!;
    const rows = await readInt4Rows(int4, 0, 2);
    const found = dequantizeRows(rows, 256, int4.format);
    const wanted = decodeGgml(blocksOf('Q4_K'), 'Q4_K');
    for (const [i, value] of wanted.entries()) {
      const group = Math.floor(i / 32);
      const [scale, minimum] = [rows.scales[group], rows.minima![group]].map(float16ToFloat32);
      // Half a unit in the last of 11 bits of each; products of subnormal numbers are exact.
      const bound = 2 ** -11 * (15 * Math.abs(scale) + Math.abs(minimum));
      expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(bound);
    }
    expect(takesInt4('Q4_0', int4)).toBe(false);
  });

  it('of other types are none', () => {
    for (const type of ['Q8_0', 'Q5_0', 'Q6_K', 'IQ4_NL', 'F16'] as const) expect(source(type)).toBeUndefined();
  });
});
