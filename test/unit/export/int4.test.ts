import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  GgufFile,
  int4Methods,
  openCheckpoint,
  readJsonObject,
  writeWeights,
  type Checkpoint,
  type Int4Method,
  type JsonObject,
} from '../../../src/checkpoint/index.js';
import { decodeFloats, dequantizeRows, type Int4Format } from '../../../src/engine/index.js';
import { readInt4Rows } from '../../../src/engine/int4.js';
import { decodeGgml } from '../../../src/checkpoint/gguf/decodeBlocks.js';
import { exportModel, type ExportOptions } from '../../../src/export/index.js';
import { encodeInt4 } from '../../../src/checkpoint/gguf/int4Blocks.js';
import { paddedInt4, rotaryOrderedInt4 } from '../../../src/checkpoint/int4/int4Views.js';
import { paddedSource, rotaryOrdered } from '../../../src/checkpoint/rowViews.js';
import { dequantized } from '../../../src/engine/int4.js';
import { allWeights, isProjection, openModel, tensorPlaces, type PartialConfig } from '../../../src/models/index.js';
import { rtn, writeQuantized } from '../../../src/quant/index.js';
import { expectClose } from '../../support/expectClose.js';
import { int4RowsOf, rowsSource } from '../../support/int4Model.js';
import { folderLogits, workplace, writeRandomFolder } from './randomFolder.js';

const place = workplace();
const tokens = [3, 1, 4, 1, 5, 9, 2, 6];

const llama: PartialConfig = {
  modelType: 'llama',
  vocabSize: 320,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
};
const mixtral: PartialConfig = { ...llama, modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 };

/** A folder rounded to nearest. */
async function quantizedFolder(
  config: PartialConfig,
  format: Int4Method,
  symmetric: boolean,
  groupSize: 32 | 64 = 32,
): Promise<string> {
  const [folder, out] = [place.folder(), place.folder('quantized')];
  await writeRandomFolder(folder, config);
  await using model = await openModel(folder);
  const places = tensorPlaces(allWeights(model.description));
  await writeQuantized(model, out, {
    format,
    groupSize,
    symmetric,
    replaced: (name) => {
      const { weight } = places.get(name)!;
      const quantized = weight.role === 'head' || isProjection(weight);
      return quantized ? rtn(model.source.source(name), { groupSize, symmetric }) : undefined;
    },
  });
  return out;
}

/** MLPs of even layers in groups of 64, all else of 32, as compressed-tensors can have them. */
async function mixedFolder(config: PartialConfig, symmetric: boolean): Promise<string> {
  const sizes = [32, 64] as const;
  const [small, large] = await Promise.all(
    sizes.map((size) => quantizedFolder(config, 'compressed-tensors', symmetric, size)),
  );
  await using thirtyTwo = await openCheckpoint(small);
  await using sixtyFour = await openCheckpoint(large);
  const out = place.folder('mixed');
  await cp(small, out, { recursive: true });
  await writeWeights(
    out,
    thirtyTwo.tensorNames().flatMap((name) => (isLarge(name) ? sixtyFour : thirtyTwo).stored(name)),
  );
  const { quantization_config: quantization, ...rest } = thirtyTwo.config as Record<string, JsonObject>;
  const { group_0: group } = quantization.config_groups as Record<string, JsonObject>;
  const weights = { ...(group.weights as JsonObject), group_size: 64 };
  const groups = { group_0: group, group_1: { ...group, targets: ['re:.*[02].(mlp|block_sparse_moe).*'], weights } };
  await writeFile(
    join(out, 'config.json'),
    JSON.stringify({ ...rest, quantization_config: { ...quantization, config_groups: groups } }),
  );
  return out;
}

const isLarge = (tensor: string): boolean => /layers\.[02]\.(mlp\.|block_sparse_moe\.experts)/.test(tensor);

const format = fc.record({
  groupSize: fc.constantFrom(32, 64, 128),
  zeroPoints: fc.boolean(),
}) as fc.Arbitrary<Int4Format>;

describe('int4 groups as blocks of GGUF', () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 5 }),
    across: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(1e6),
  });

  it('Q4_0 holds every value, Q4_1 within the rounding of its minimum', () =>
    fc.assert(
      fc.property(format, sizes, (format, { rows, across, seed }) => {
        const width = 32 * across;
        const made = int4RowsOf(seed + 1, rows, width, format);
        const values = dequantizeRows(made, width, format);
        if (!format.zeroPoints) expect(decodeGgml(encodeInt4(made, width, format, 'Q4_0'), 'Q4_0')).toEqual(values);
        const found = decodeGgml(encodeInt4(made, width, format, 'Q4_1'), 'Q4_1');
        // The minimum is at most 15 scales, so 32 times the largest weight where it is not zero; the sum is a float32.
        const step = Math.max(...values.map(Math.abs)) * 16;
        expectClose(found, values, step * 2 ** -11 + 2 ** -25);
      }),
    ));

  it('rows of heads change places with their scales', async () => {
    const format = { groupSize: 32, zeroPoints: true } as const;
    const source = rowsSource('q', [48, 40], format, int4RowsOf(4, 48, 40, format));
    const [found, expected] = [
      dequantized(rotaryOrderedInt4(source, 16, 'pairs')),
      rotaryOrdered(dequantized(source), 16, 'pairs'),
    ];
    for (const [start, end] of [
      [0, 48],
      [5, 40],
      [17, 18],
    ])
      expect(await found.readRows(start, end)).toEqual(await expected.readRows(start, end));
  });

  it('padding is zeros', async () => {
    for (const [width, to] of [
      [40, 72],
      [45, 64],
      [64, 128],
      [33, 34],
    ]) {
      for (const zeroPoints of [true, false]) {
        const format = { groupSize: 32, zeroPoints } as const;
        const source = rowsSource('w', [6, width], format, int4RowsOf(4, 6, width, format));
        const [found, expected] = [
          dequantized(paddedInt4(source, [9, to])!),
          paddedSource(dequantized(source), [9, to]),
        ];
        for (const [start, end] of [
          [0, 9],
          [4, 8],
          [7, 9],
        ]) {
          const [a, b] = await Promise.all(
            [found, expected].map(async (s) => decodeFloats(await s.readRows(start, end), 'float32')),
          );
          // 0 * -1 is -0, which is 0 as well.
          expect(a.map((x) => x + 0)).toEqual(b.map((x) => x + 0));
        }
      }
    }
  });

  it.each([
    ['gptq', true, 'Q4_0'],
    ['compressed-tensors', true, 'Q4_0'],
    ['awq', false, 'Q4_1'],
  ] as const)('%s, symmetric: %s: a file of %s holds the integers', async (method, symmetric, type) => {
    const folder = await quantizedFolder(llama, method, symmetric);
    const out = `${place.folder('model')}.gguf`;
    const result = await exportModel(folder, {
      to: 'gguf',
      out,
      engine: place.engine(),
      drops: { attention: [1], mlp: [3] },
    });
    expect(result.type).toBe('as stored');
    await using file = await GgufFile.open(out);
    await using checkpoint = await openCheckpoint(folder);
    const pairs = [
      ['blk.0.ffn_down.weight', 'model.layers.0.mlp.down_proj.weight'],
      ['blk.2.attn_output.weight', 'model.layers.2.self_attn.o_proj.weight'],
      ['blk.3.attn_k.weight', 'model.layers.3.self_attn.k_proj.weight'],
    ];
    for (const [name, original] of pairs) {
      expect(file.type(name)).toBe(type);
      const plain = checkpoint.source(original);
      const expected = original.includes('k_proj') ? rotaryOrdered(plain, 16, 'pairs') : plain;
      const [rows] = plain.shape;
      const values = decodeFloats(await expected.readRows(0, rows), 'float32');
      const found = decodeFloats(await file.source(name).readRows(0, rows), 'float32');
      if (type === 'Q4_0') expect(found).toEqual(values);
      // Weights below 0.5; the minimum is a float16 of at most that.
      else expectClose(found, values, 2 ** -12);
    }
  });
});

/** Of `config_groups`. */
interface Group {
  readonly targets: readonly string[];
  readonly weights: { readonly group_size: number };
}

describe('folders of quantized models', () => {
  const exported = async (folder: string, o: Partial<ExportOptions> & Pick<ExportOptions, 'to'>): Promise<string> => {
    const out = place.folder('out');
    await exportModel(folder, { out, engine: place.engine(), ...o });
    return out;
  };
  const packedIn = async (folder: string): Promise<string[]> => {
    await using checkpoint = await openCheckpoint(folder);
    return checkpoint.tensorNames().filter((name) => checkpoint.int4(name));
  };

  describe.each(int4Methods.flatMap((method) => [true, false].map((symmetric) => [method, symmetric] as const)))(
    '%s, symmetric: %s',
    (method, symmetric) => {
      it.each([
        ['llama', llama],
        ['mixtral', mixtral],
      ])('%s: stay quantized when blocks are taken out, and when modules are zeroed', async (_, config) => {
        const folder = await quantizedFolder(config, method, symmetric);
        const blocks = { attention: [1], mlp: [1] };
        const plain = await exported(folder, { to: 'hf', drops: blocks });
        expect(await folderLogits(place.engine(), plain, tokens)).toEqual(
          await folderLogits(place.engine(), folder, tokens, blocks),
        );
        const all = await packedIn(folder);
        expect(await packedIn(plain)).toHaveLength((3 * (all.length - 1)) / 4 + 1);
        const parts = { attention: [0], mlp: [2] };
        const zeroed = await exported(folder, { to: 'hf', zero: true, drops: parts });
        expect((await packedIn(zeroed)).sort()).toEqual(all.sort());
        expect(await folderLogits(place.engine(), zeroed, tokens)).toEqual(
          await folderLogits(place.engine(), folder, tokens, parts),
        );
      });

      it('nemotron-nas holds padded integers', async () => {
        // GPTQ's words want multiples of 32, and groups of 32 as well: 96 becomes 256.
        const folder = await quantizedFolder(llama, method, symmetric);
        const out = await exported(folder, { to: 'vllm', drops: { attention: [1, 2], mlp: [3] } });
        const config = await readJsonObject(join(out, 'config.json'));
        expect(config).toMatchObject({ model_type: 'nemotron-nas', quantization_config: { quant_method: method } });
        await using checkpoint = await openCheckpoint(out);
        const down = checkpoint.int4('model.layers.0.mlp.down_proj.weight')!;
        expect(down.shape).toEqual([64, 256]);
        const source = (await down.int4())!;
        const values = dequantizeRows(await readInt4Rows(source, 0, 64), 256, source.format);
        expect(values.some((value, i) => i % 256 >= 96 && value !== 0)).toBe(false);
        expect(await packedIn(out)).toHaveLength(2 * 4 + 3 * 3 + 1);
      });
    },
  );

  it.each([
    ['llama', true, { ...llama, intermediateSize: 128 }],
    ['llama', false, { ...llama, intermediateSize: 128 }],
    ['mixtral', true, { ...mixtral, intermediateSize: 128 }],
  ])('%s, symmetric: %s: groups of several sizes stay as they are', async (_, symmetric, config) => {
    const folder = await mixedFolder(config, symmetric);
    await using before = await openCheckpoint(folder);
    expect(before.quantization?.groupSizes).toEqual([32, 64]);
    const packed = await packedIn(folder);
    const drops = { attention: [3], mlp: [2] };
    const out = await exported(folder, { to: 'hf', zero: true, drops });
    await using after = await openCheckpoint(out);
    expect((await packedIn(out)).sort()).toEqual(packed.sort());
    const scales = (checkpoint: Checkpoint, name: string): number =>
      checkpoint.stored(name).find((part) => part.name.endsWith('scale'))!.shape[1];
    // Of zeros, which the dropped layers' outputs are, any groups will do.
    for (const name of packed.filter((name) => !/layers\.(3\.self_attn\.o|2\..*(down|w2))/.test(name)))
      expect([name, scales(after, name)]).toEqual([name, scales(before, name)]);
    const { config_groups: groups } = after.config.quantization_config as { config_groups: Record<string, Group> };
    for (const { targets, weights } of Object.values(groups))
      for (const target of targets) {
        const { shape } = after.info(`${target}.weight`);
        expect(scales(after, `${target}.weight`)).toBe(shape[1] / weights.group_size);
      }
    const targets = Object.values(groups).flatMap((group) => group.targets);
    expect(targets.map((target) => `${target}.weight`).sort()).toEqual(packed.sort());
    expect(await folderLogits(place.engine(), out, tokens)).toEqual(
      await folderLogits(place.engine(), folder, tokens, drops),
    );
  });

  it.each([
    ['hf', {}],
    ['hf', { zero: true, drops: { attention: [1] } }],
    ['vllm', { drops: { attention: [1] } }],
    ['llm-drop', { drops: { attention: [1] } }],
  ] as const)('%s, %j: GPTQ has its config in a file of its own, too', async (to, options) => {
    const folder = await quantizedFolder(llama, 'gptq', true);
    const out = await exported(folder, { to, ...options });
    const config = await readJsonObject(join(out, 'config.json'));
    expect(await readJsonObject(join(out, 'quantize_config.json'))).toEqual(config!.quantization_config);
  });

  it('of older programs, which name the format in that file alone, can be read again', async () => {
    const folder = await quantizedFolder(llama, 'gptq', true);
    const { quantization_config: _, ...config } = (await readJsonObject(join(folder, 'config.json')))!;
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    const packed = await packedIn(folder);
    expect(packed.length).toBeGreaterThan(0);
    for (const to of ['hf', 'llm-drop'] as const)
      expect((await packedIn(await exported(folder, { to }))).sort()).toEqual(packed.sort());
  });

  it('become floats where a type is asked for', async () => {
    const folder = await quantizedFolder(llama, 'gptq', true);
    const out = await exported(folder, { to: 'hf', type: 'f32' });
    expect(await packedIn(out)).toEqual([]);
    expect(await readJsonObject(join(out, 'config.json'))).not.toHaveProperty('quantization_config');
    expect(await readJsonObject(join(out, 'quantize_config.json'))).toBeUndefined();
    await using checkpoint = await openCheckpoint(folder);
    await using plain = await openCheckpoint(out);
    const name = 'model.layers.2.self_attn.v_proj.weight';
    expect(await plain.source(name).readRows(0, 32)).toEqual(await checkpoint.source(name).readRows(0, 32));
  });
});
