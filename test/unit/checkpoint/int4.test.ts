import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoredInt4 } from '../../../src/checkpoint/int4/index.js';
import { transposedNibbles, transposedWords } from '../../../src/checkpoint/int4/nibbleWords.js';
import type { SafetensorsDType } from '../../../src/checkpoint/safetensorsHeader.js';
import { stackedInt4 } from '../../../src/checkpoint/weightViews.js';
import { UserError } from '../../../src/engine/errors.js';
import { decodeFloats, encodeFloats, float16ToFloat32 } from '../../../src/engine/halfFloat.js';
import {
  dequantizeRows,
  readInt4Rows,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
} from '../../../src/engine/int4.js';
import {
  canonical,
  inMemory,
  layoutNames,
  layoutOf,
  partsOf,
  quantsOf,
  type LayoutName,
  type TensorInMemory,
} from '../../support/int4Layouts.js';
import { int4RowsOf, rowsSource } from '../../support/int4Model.js';

interface Golden {
  readonly out: number;
  readonly in: number;
  readonly groupSize: number;
  readonly symmetric: boolean;
  readonly q: string;
  readonly scales: string;
  readonly zeros: string;
  readonly layouts: Readonly<
    Partial<Record<LayoutName, Record<string, { dtype: SafetensorsDType; shape: number[]; data: string }>>>
  >;
}

const goldens = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/quantized/goldens.json'), 'utf8'),
) as Golden[];

const ofHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const digits = (text: string): number[] => Array.from(text, (digit) => Number.parseInt(digit, 16));
const name = 'model.layers.0.mlp.up_proj.weight';

async function int4Of(stored: StoredInt4): Promise<Int4Source> {
  const source = await stored.int4();
  if (!source) throw new Error(stored.reason);
  return source;
}

const allRows = (source: Int4Source): Promise<Int4Rows> => readInt4Rows(source, 0, source.shape[0]);

/** A golden's rows in the engine's groups: of larger ones, groups that repeat their scale. */
function sourceOf(golden: Golden): Int4Source {
  const { out, in: width, symmetric } = golden;
  const size = golden.groupSize === -1 ? width : golden.groupSize;
  const groupSize = golden.groupSize === -1 ? 128 : ([128, 64, 32] as const).find((engine) => size % engine === 0)!;
  const scales = new Uint16Array(ofHex(golden.scales).buffer);
  const zeros = Uint8Array.from(digits(golden.zeros));
  const count = scales.length / out;
  const places = Array.from({ length: out * Math.ceil(width / groupSize) }, (_, i) => {
    const groups = Math.ceil(width / groupSize);
    return Math.floor(i / groups) * count + Math.floor(((i % groups) * groupSize) / size);
  });
  const rows: Int4Rows = {
    quants: quantsOf(digits(golden.q), out, width),
    scales: Uint16Array.from(places, (place) => scales[place]),
    zeros: symmetric ? undefined : Uint8Array.from(places, (place) => zeros[place]),
  };
  return rowsSource(name, [out, width], { groupSize, zeroPoints: !symmetric }, rows);
}

const cases = goldens.flatMap((golden) =>
  (Object.keys(golden.layouts) as LayoutName[]).map((layout) => ({
    golden,
    layout,
    what: `${layout} [${golden.out}, ${golden.in}] in groups of ${golden.groupSize}${golden.symmetric ? '' : ' with zero points'}`,
  })),
);

const tensorsOf = (golden: Golden, layout: LayoutName): Record<string, TensorInMemory> =>
  Object.fromEntries(
    Object.entries(golden.layouts[layout]!).map(([part, { dtype, shape, data }]) => [
      part,
      { dtype, shape, bytes: ofHex(data) },
    ]),
  );

describe('the layouts of int4 weights, against the independent Python of test/oracle', () => {
  it('every layout has cases with and without zero points', () => {
    for (const layout of layoutNames)
      expect(new Set(cases.filter((c) => c.layout === layout).map((c) => c.golden.symmetric)).size).toBe(2);
  });

  it.each(cases)('$what: what is written is what Python writes, bit for bit', async ({ golden, layout }) => {
    const written = layoutOf(layout, golden.groupSize).write(sourceOf(golden), golden.groupSize);
    expect(await inMemory(name, written)).toEqual(tensorsOf(golden, layout));
  });

  it.each(cases)('$what: what is read are the integers, scales and zero points', async ({ golden, layout }) => {
    const stored = await layoutOf(layout, golden.groupSize).open(partsOf(name, tensorsOf(golden, layout)));
    expect(stored.shape).toEqual([golden.out, golden.in]);
    const expected = sourceOf(golden);
    const rows = await allRows(expected);
    const source = await int4Of(stored);
    expect(source.format).toEqual(expected.format);
    expect(canonical(await allRows(source), golden.in)).toEqual(canonical(rows, golden.in));
    const floats = stored.floats();
    const values = decodeFloats(await floats.readRows(0, golden.out), floats.dtype);
    expect(values).toEqual(dequantizeRows(rows, golden.in, expected.format));
  });

  it('a symmetric weight_packed is the transpose of qweight', () => {
    const both = goldens.filter(({ symmetric, layouts }) => symmetric && layouts.gptq);
    expect(both.length).toBeGreaterThan(1);
    for (const golden of both) {
      const packed = new Uint32Array(tensorsOf(golden, 'compressed-tensors').weight_packed.bytes.buffer);
      const words = new Uint32Array(tensorsOf(golden, 'gptq').qweight.bytes.buffer);
      expect(transposedWords(packed, golden.out, golden.in / 8)).toEqual(words);
    }
  });
});

const format = fc.record({
  groupSize: fc.constantFrom(32, 64, 128),
  zeroPoints: fc.boolean(),
}) as fc.Arbitrary<Int4Format>;

/** A weight of any shape that a layout can hold. */
const weight = fc
  .record({
    layout: fc.constantFrom(...layoutNames),
    format,
    blocks: fc.integer({ min: 1, max: 3 }),
    tail: fc.integer({ min: 0, max: 200 }),
    rows: fc.integer({ min: 1, max: 70 }),
    whole: fc.boolean(),
    seed: fc.integer({ min: 1, max: 1e6 }),
  })
  .map(({ layout, format, blocks, tail, rows, whole, seed }) => {
    const gptq = layout === 'gptq' || layout === 'gptq_v2';
    const out = gptq ? 32 * Math.ceil(rows / 32) : layout === 'awq' ? 8 * Math.ceil(rows / 8) : rows;
    // A row's only group may be cut short; others come out even.
    const any = gptq ? 32 * (1 + (tail % 7)) : 1 + tail;
    const width = whole ? any : blocks * format.groupSize;
    const groups = Math.ceil(width / format.groupSize);
    const made = int4RowsOf(seed, out, width, format);
    const first = <T extends Uint8Array | Uint16Array>(values: T): T =>
      whole ? (values.map((_, i) => values[i - (i % groups)]) as T) : values;
    // Version 1 of GPTQ has no zero point of 0.
    const zeros = made.zeros && first(made.zeros).map((zero) => (layout === 'gptq' ? Math.max(1, zero) : zero));
    const rowsMade: Int4Rows = { quants: made.quants, scales: first(made.scales), zeros };
    return {
      layout,
      groupSize: whole ? -1 : format.groupSize,
      source: rowsSource(name, [out, width], format, rowsMade),
    };
  });

describe('packing', () => {
  it('and unpacking are inverse for every shape', async () => {
    await fc.assert(
      fc.asyncProperty(weight, async ({ layout, groupSize, source }) => {
        const [out, width] = source.shape;
        const chosen = layoutOf(layout, groupSize);
        const tensors = await inMemory(name, chosen.write(source, groupSize));
        const read = await int4Of(await chosen.open(partsOf(name, tensors)));
        const expected = canonical(await allRows(source), width);
        const found = await allRows(read);
        expect(found.quants).toEqual(expected.quants);
        // A row's only group comes back as groups of 128, whatever they were.
        const values = dequantizeRows(found, width, read.format);
        expect(values).toEqual(
          dequantizeRows(expected, width, { ...source.format, zeroPoints: expected.zeros !== undefined }),
        );
        if (groupSize > 0) expect(found).toEqual(expected);
        const part = await read.readInt4(out >> 1, out);
        expect(part.quants).toEqual(found.quants.subarray((out >> 1) * Math.ceil(width / 2)));
      }),
      { numRuns: 100 },
    );
  });

  it('turns integers of any order about', () => {
    const sizes = fc.record({ rows: fc.integer({ min: 1, max: 40 }), across: fc.integer({ min: 1, max: 9 }) });
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 });
    fc.assert(
      fc.property(
        sizes,
        order,
        fc.infiniteStream(fc.integer({ min: 0, max: 2 ** 32 - 1 })),
        ({ rows, across }, taken, words) => {
          const matrix = Uint32Array.from({ length: rows * across }, () => words.next().value as number);
          const turned = transposedNibbles(matrix, rows, across, { taken });
          const high = Math.ceil(rows / 8);
          const at = (of: Uint32Array, columns: number, row: number, i: number): number =>
            (of[row * columns + (i >> 3)] >>> (4 * (i & 7))) & 15;
          for (let row = 0; row < 8 * high; row++)
            for (let column = 0; column < 8 * across; column++)
              expect(at(turned, high, (column & ~7) + taken[column & 7], row)).toBe(
                row < rows ? at(matrix, across, row, column) : 0,
              );
        },
      ),
      { numRuns: 40 },
    );
  });

  it('what is read in pieces in any order is the same', async () => {
    const source = rowsSource(
      name,
      [64, 96],
      { groupSize: 32, zeroPoints: true },
      int4RowsOf(5, 64, 96, { groupSize: 32, zeroPoints: true }),
    );
    const whole = await allRows(source);
    for (const layout of ['awq', 'gptq_v2', 'compressed-tensors'] as const) {
      const chosen = layoutOf(layout, 32);
      const stored = await chosen.open(partsOf(name, await inMemory(name, chosen.write(source, 32))));
      const read = await int4Of(stored);
      for (const [start, end] of [
        [60, 64],
        [0, 3],
        [10, 64],
        [63, 64],
        [5, 6],
      ])
        expect((await read.readInt4(start, end)).quants).toEqual(whole.quants.subarray(start * 48, end * 48));
    }
  });
});

describe('weights that the engine has no groups for', () => {
  const [out, width] = [32, 64];
  const rows = int4RowsOf(3, out, width, { groupSize: 32, zeroPoints: true });
  const written = (layout: LayoutName): Promise<Record<string, TensorInMemory>> =>
    inMemory(
      name,
      layoutOf(layout, 32).write(rowsSource(name, [out, width], { groupSize: 32, zeroPoints: true }, rows), 32),
    );
  const read = async (stored: StoredInt4): Promise<Float32Array> => {
    const floats = stored.floats();
    return decodeFloats(await floats.readRows(0, out), floats.dtype);
  };

  it('columns in another order than their groups are decoded', async () => {
    const groupOf = Int32Array.from({ length: width }, (_, column) => (column * 7) % 2);
    const tensors = await written('gptq_v2');
    const stored = await layoutOf('gptq_v2', 32).open(
      partsOf(name, { ...tensors, g_idx: { ...tensors.g_idx, bytes: new Uint8Array(groupOf.buffer) } }),
    );
    expect([await stored.int4(), stored.reason]).toEqual([
      undefined,
      'its columns are not in the order of their groups',
    ]);
    const expected = Float32Array.from({ length: out * width }, (_, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      const q = (rows.quants[row * 32 + (column >> 1)] >> (column % 2 ? 4 : 0)) & 15;
      const group = row * 2 + groupOf[column];
      return float16ToFloat32(rows.scales[group]) * (q - rows.zeros![group]);
    });
    expect(await read(stored)).toEqual(expected);
  });

  it('a g_idx that is in order changes nothing, and one beyond the groups is refused', async () => {
    const tensors = await written('gptq_v2');
    const { g_idx: _order, ...without } = tensors;
    const stored = await layoutOf('gptq_v2', 32).open(partsOf(name, without));
    expect(canonical(await allRows(await int4Of(stored)), width)).toEqual(canonical(rows, width));
    const wrong = { ...tensors.g_idx, bytes: new Uint8Array(new Int32Array(width).fill(2).buffer) };
    await expect(
      (await layoutOf('gptq_v2', 32).open(partsOf(name, { ...tensors, g_idx: wrong }))).int4(),
    ).rejects.toThrow(/up_proj\.g_idx names a group beyond its 2/);
  });

  it('groups of 16 are decoded', async () => {
    const tensors = await written('compressed-tensors');
    const scales = encodeFloats(
      Float32Array.from({ length: out * 4 }, (_, i) => 1 + (i % 5)),
      'float16',
    );
    const { weight_zero_point: _zeros, ...symmetric } = tensors;
    const stored = await layoutOf('compressed-tensors', 16).open(
      partsOf(name, { ...symmetric, weight_scale: { dtype: 'F16', shape: [out, 4], bytes: scales } }),
    );
    expect([await stored.int4(), stored.reason]).toEqual([undefined, 'it has groups of 16']);
    const values = await read(stored);
    const q = (i: number): number => (rows.quants[i >> 1] >> (i % 2 ? 4 : 0)) & 15;
    expect([...values.slice(0, 64)]).toEqual(Array.from({ length: 64 }, (_, i) => (1 + (i >> 4)) * (q(i) - 8)));
  });

  it.each(['BF16', 'F32'] as const)(
    '%s scales are kept where float16 holds them exactly, else decoded',
    async (dtype) => {
      const tensors = await written('compressed-tensors');
      const type = dtype === 'BF16' ? 'bfloat16' : 'float32';
      const open = (scales: Float32Array): Promise<StoredInt4> => {
        const weight_scale = { dtype, shape: [out, 2], bytes: encodeFloats(scales, type) };
        return layoutOf('compressed-tensors', 32).open(partsOf(name, { ...tensors, weight_scale }));
      };
      const exact = new Float32Array(out * 2).fill(0.0078125 * 1.5);
      const source = await int4Of(await open(exact));
      expect((await source.readInt4(0, 1)).scales).toEqual(Uint16Array.of(0x2200, 0x2200));
      const fine = exact.with(5, 2 ** -30);
      const stored = await open(fine);
      expect([await stored.int4(), stored.reason]).toEqual([undefined, `a ${type} scale is not a float16`]);
      const q = (rows.quants[2 * 32 + 16] & 15) - rows.zeros![5];
      expect((await read(stored))[2 * width + 32]).toBe(q * 2 ** -30);
    },
  );

  it('zero points that older files hold as bytes are read', async () => {
    const tensors = await written('compressed-tensors');
    const bytes = Uint8Array.from(rows.zeros!, (zero) => zero - 8);
    const weight_zero_point = { dtype: 'I8' as const, shape: [out, 2], bytes };
    const stored = await layoutOf('compressed-tensors', 32).open(partsOf(name, { ...tensors, weight_zero_point }));
    expect((await allRows(await int4Of(stored))).zeros).toEqual(rows.zeros);
  });
});

describe('what a layout cannot hold is refused by name', () => {
  const refuse = (
    layout: LayoutName,
    shape: [number, number],
    groupSize: number,
    own: 32 | 64 | 128 = 32,
  ): (() => unknown) => {
    const format = { groupSize: own, zeroPoints: true } as const;
    const source = rowsSource(name, shape, format, int4RowsOf(1, shape[0], shape[1], format));
    return () => layoutOf(layout, groupSize).write(source, groupSize);
  };

  it.each([
    [
      'awq',
      [12, 64],
      32,
      /AWQ cannot hold model\.layers\.0\.mlp\.up_proj\.weight \[12,64\]: its 12 rows are no multiple of 8/,
    ],
    ['gptq', [40, 64], 32, /GPTQ cannot hold .*up_proj.* its 40 rows are no multiple of 32/],
    ['gptq', [32, 40], -1, /GPTQ cannot hold .*rows of 40 are no multiple of 32/],
    ['awq', [8, 80], 32, /AWQ cannot hold .*rows of 80 are no multiple of the group size 32/],
    ['compressed-tensors', [8, 80], 32, /compressed-tensors cannot hold .*rows of 80/],
    ['compressed-tensors', [8, 96], 48, /its groups of 32 do not make groups of 48/],
  ] as const)('%s [%s] in groups of %s', (layout, shape, groupSize, message) => {
    expect(refuse(layout, [...shape], groupSize)).toThrow(UserError);
    expect(refuse(layout, [...shape], groupSize)).toThrow(message);
  });

  it('scales that differ within a larger group', async () => {
    const format = { groupSize: 32, zeroPoints: false } as const;
    const source = rowsSource(name, [32, 64], format, int4RowsOf(1, 32, 64, format));
    await expect(inMemory(name, layoutOf('gptq', -1).write(source, -1))).rejects.toThrow(
      /up_proj\.weight: a row's groups of 32 have scales of their own/,
    );
  });

  it("a zero point of 0 in GPTQ's version 1", async () => {
    const format = { groupSize: 32, zeroPoints: true } as const;
    const rows = int4RowsOf(1, 32, 32, format);
    const source = rowsSource(name, [32, 32], format, { ...rows, zeros: rows.zeros!.fill(0) });
    await expect(inMemory(name, layoutOf('gptq', 32).write(source, 32))).rejects.toThrow(/up_proj.* zero point of 0/);
  });

  it('tensors whose shapes do not fit each other', async () => {
    const golden = goldens[1];
    const change = (layout: LayoutName, part: string, tensor: Partial<TensorInMemory>): Promise<unknown> => {
      const tensors = tensorsOf(golden, layout);
      return layoutOf(layout, 32).open(partsOf(name, { ...tensors, [part]: { ...tensors[part], ...tensor } }));
    };
    await expect(change('awq', 'qzeros', { shape: [1, 4] })).rejects.toThrow(
      /up_proj\.qzeros is \[1,4\], expected \[2,4\]/,
    );
    await expect(change('gptq_v2', 'scales', { shape: [4, 32] })).rejects.toThrow(
      /has 4 groups in rows of 64, expected 2 of 32/,
    );
    await expect(change('gptq_v2', 'qweight', { dtype: 'F16' })).rejects.toThrow(/up_proj\.qweight is F16/);
    await expect(change('compressed-tensors', 'weight_packed', { shape: [32, 16] })).rejects.toThrow(
      /is \[32,64\] by its weight_shape, but its weight_packed is \[32,16\]/,
    );
  });
});

describe('stacked int4 weights', () => {
  it('have zero points where one has, and rows over all of them', async () => {
    const of = (seed: number, zeroPoints: boolean): Int4Source => {
      const format = { groupSize: 32, zeroPoints } as const;
      return rowsSource(`expert ${seed}`, [3, 40], format, int4RowsOf(seed, 3, 40, format));
    };
    const sources = [of(1, false), of(2, true), of(3, false)];
    const stack = stackedInt4(sources)!;
    expect([stack.shape, stack.format]).toEqual([[3, 3, 40], { groupSize: 32, zeroPoints: true }]);
    const [a, b, c] = await Promise.all(sources.map(allRows));
    const rows = await stack.readInt4(2, 7);
    expect([...rows.quants]).toEqual([...a.quants.slice(40), ...b.quants, ...c.quants.slice(0, 20)]);
    expect([...rows.scales]).toEqual([...a.scales.slice(4), ...b.scales, ...c.scales.slice(0, 2)]);
    expect([...rows.zeros!]).toEqual([8, 8, ...b.zeros!, 8, 8]);
  });

  it('are none where shapes or groups differ', () => {
    const of = (shape: [number, number], groupSize: 32 | 64): Int4Source =>
      rowsSource(
        'w',
        shape,
        { groupSize, zeroPoints: false },
        int4RowsOf(1, shape[0], shape[1], { groupSize, zeroPoints: false }),
      );
    expect(stackedInt4([of([2, 64], 32), of([2, 64], 64)])).toBeUndefined();
    expect(stackedInt4([of([2, 64], 32), of([3, 64], 32)])).toBeUndefined();
  });
});
