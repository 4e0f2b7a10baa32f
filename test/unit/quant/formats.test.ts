import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  int4Methods,
  openCheckpoint,
  readJsonObject,
  tensorOfBytes,
  writeWeights,
  type Checkpoint,
  type Int4Method,
  type JsonObject,
  type ModelSource,
} from '../../../src/checkpoint/index.js';
import { writeDropped } from '../../../src/drop/index.js';
import {
  UserError,
  arraySource,
  createEngine,
  dequantized,
  isInt4,
  type Engine,
  type Int4Source,
} from '../../../src/engine/index.js';
import { readInt4Rows } from '../../../src/engine/int4.js';
import {
  Model,
  allWeights,
  describeModel,
  fitsMemory,
  isProjection,
  loadModel,
  modelSize,
  openModel,
  tensorPlaces,
  withQuantizer,
  type ModelDescription,
  type OpenedModel,
  type Parameters,
  type PartialConfig,
} from '../../../src/models/index.js';
import { rtn, rtnQuantizer, writeQuantized, type WriteQuantizedOptions } from '../../../src/quant/index.js';
import { expectClose } from '../../support/expectClose.js';
import { canonical } from '../../support/int4Layouts.js';
import { folderLogits, logitsOf, workplace, writeRandomFolder } from '../export/randomFolder.js';

const place = workplace();
const tokens = [3, 1, 4, 1, 5, 9, 2, 6];

const llama: PartialConfig = {
  modelType: 'llama',
  vocabSize: 320,
  hiddenSize: 64,
  intermediateSize: 128,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
  attentionBias: true,
};
const mixtral: PartialConfig = {
  ...llama,
  modelType: 'mixtral',
  attentionBias: false,
  numLocalExperts: 3,
  numExpertsPerTok: 2,
};
const drops = { drop_attn_list: [1], drop_mlp_list: [2] };

type Replaced = (tensor: string) => ReturnType<WriteQuantizedOptions['replaced']>;

/** Rounded to nearest, what `rtnQuantizer` rounds; the head as well where asked. */
function replacedBy(
  { source, description }: Pick<OpenedModel, 'source' | 'description'>,
  o: { groupSize: 32 | 64; symmetric: boolean; head?: boolean },
): Replaced {
  const places = tensorPlaces(allWeights(description));
  return (name) => {
    const weight = places.get(name)?.weight;
    return weight && (isProjection(weight) || (o.head && weight.role === 'head'))
      ? rtn(source.source(name), { groupSize: o.groupSize, symmetric: o.symmetric })
      : undefined;
  };
}

/** Buffers compare much faster than a matcher does. */
const sameBytes = async (a: Promise<Uint8Array>, b: Promise<Uint8Array>): Promise<boolean> =>
  Buffer.from(await a).equals(await b);

interface Written {
  readonly folder: string;
  readonly out: string;
  readonly config: JsonObject;
}

async function written(
  config: PartialConfig,
  o: Partial<WriteQuantizedOptions> & { format: Int4Method; head?: boolean; extra?: JsonObject },
): Promise<Written> {
  const { extra, head, ...options } = { groupSize: 32, symmetric: true, ...o };
  const [folder, out] = [place.folder(), place.folder('quantized')];
  await writeRandomFolder(folder, config, { extra });
  await using opened = await openModel(folder);
  const groupSize = options.groupSize as 32 | 64;
  const replaced = replacedBy(opened, { groupSize, symmetric: options.symmetric, head });
  await writeQuantized(opened, out, { replaced, ...options });
  return { folder, out, config: (await readJsonObject(join(out, 'config.json')))! };
}

async function int4Of(checkpoint: Checkpoint, name: string): Promise<Int4Source> {
  const source = await checkpoint.int4(name)!.int4();
  expect(source).toBeDefined();
  return source!;
}

const kinds = int4Methods.flatMap((format) => [true, false].map((symmetric) => ({ format, symmetric })));
const models: [string, PartialConfig][] = [
  ['llama', llama],
  ['mixtral', mixtral],
];

describe('a quantized folder', () => {
  let exact: Engine;
  let reference: Engine;
  beforeAll(async () => {
    exact = await createEngine('wasm', { int4: 'exact' });
    reference = await createEngine('reference');
  });
  afterAll(() => {
    exact.dispose();
    reference.dispose();
  });

  describe.each(models)('%s', (_, config) => {
    it.each(kinds)('$format, symmetric: $symmetric: is read as it was given', async ({ format, symmetric }) => {
      const { folder, out } = await written(config, { format, symmetric, extra: drops });
      await using opened = await openModel(folder);
      const before = opened.source;
      await using after = await openCheckpoint(out);
      expect(after.quantization).toMatchObject({ method: format, groupSizes: [32] });
      const replaced = replacedBy(opened, { groupSize: 32, symmetric });
      let count = 0;
      for (const name of after.tensorNames()) {
        const given = replaced(name);
        expect(after.info(name).shape).toEqual(before.info(name).shape);
        if (!given || !isInt4(given)) {
          expect(after.int4(name)).toBeUndefined();
          const rows = after.info(name).shape.length === 1 ? 1 : after.info(name).shape[0];
          expect(await sameBytes(after.source(name).readRows(0, rows), before.source(name).readRows(0, rows))).toBe(
            true,
          );
          continue;
        }
        count++;
        const width = given.shape[1];
        const source = await int4Of(after, name);
        expect(canonical(await readInt4Rows(source, 0, source.shape[0]), width)).toEqual(
          canonical(await readInt4Rows(given, 0, given.shape[0]), width),
        );
      }
      const inLayer = config === llama ? 3 : 3 * config.numLocalExperts!;
      expect(count).toBe(2 * 4 + 2 * inLayer);
    });

    it.each(kinds)('$format, symmetric: $symmetric: runs as its decoded weights do', async ({ format, symmetric }) => {
      const { out } = await written(config, { format, symmetric, extra: drops });
      await using checkpoint = await openCheckpoint(out);
      const description = describeModel(checkpoint.config, checkpoint.folder);
      const { folder } = checkpoint;
      const floats = {
        folder,
        has: (name: string) => checkpoint.has(name),
        source: (name: string) => checkpoint.source(name),
      };
      const expected = await logitsOf(new Model(reference, description, floats), tokens);
      const most = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(await folderLogits(reference, out, tokens)).toEqual(expected);
      await using model = await loadModel(out, { engine: exact });
      // int4 in memory: at most 6 bits a weight (zero points of 8 bits, groups of 32), other than the float head, embedding, biases, norms, router.
      const inLayers = model.layers.reduce((sum, layer) => sum + layer.bytes, 0);
      const inFloats = await layerBytes(exact, description, floats);
      expect(inLayers / inFloats).toBeLessThan(0.21);
      // Float32 sums of at most 128 products in three layers.
      expectClose(await logitsOf(model, tokens), expected, 2e-5 * most);
      expect(checkpoint.decoded).toEqual([]);
    });
  });

  async function layerBytes(engine: Engine, description: ModelDescription, floats: Parameters): Promise<number> {
    using model = new Model(engine, description, floats);
    await model.load();
    return model.layers.reduce((sum, layer) => sum + layer.bytes, 0);
  }

  it('a quantizer leaves what is stored as int4, and takes the rest', async () => {
    const { out } = await written(llama, { format: 'gptq' });
    const asked: string[] = [];
    await using opened = await openModel(out);
    const parameters = withQuantizer(opened.source, (source, spec) => {
      asked.push(spec.path);
      return rtnQuantizer({ head: 'int4' })(source, spec);
    });
    using model = new Model(exact, opened.description, parameters);
    await model.load();
    expect(asked.sort()).toEqual(['embedding', 'head']);
  });

  it('counts its weights, not the words that hold them', async () => {
    const { folder, out } = await written(llama, { format: 'awq', extra: drops });
    const sizeOf = async (path: string): Promise<{ parameters: number; bytes: number }> => {
      await using opened = await openModel(path);
      const { dropAttention: attention, dropMlp: mlp } = opened.config;
      return modelSize(opened.source, opened.description, { attention, mlp });
    };
    const [before, after] = [await sizeOf(folder), await sizeOf(out)];
    expect(after.parameters).toBe(before.parameters);
    // Of two attentions and two MLPs; AWQ in groups of 32: 4 bits, a float16 scale and 4 bits of zero.
    const weights = 2 * (64 * (64 + 32 + 32 + 64) + 3 * 64 * 128);
    expect(before.bytes - after.bytes).toBe(weights * (4 - (4 + 20 / 32) / 8));
    await using model = await loadModel(out, { engine: exact, memory: { bytes: 1, rowLength: 8 } });
    expect(fitsMemory(model, { bytes: 170e6, rowLength: 8 })).toBe(true);
  });

  it('dropping a quantized model equals quantizing a dropped one', async () => {
    for (const format of int4Methods) {
      const { folder, out } = await written(llama, { format });
      const [dropped, both, other] = [place.folder('dropped'), place.folder('both'), place.folder('other')];
      const lists = { attention: [0], mlp: [2] };
      {
        await using opened = await openModel(folder);
        await writeDropped(opened, lists, dropped);
      }
      {
        await using opened = await openModel(dropped);
        const replaced = replacedBy(opened, { groupSize: 32, symmetric: true });
        await writeQuantized(opened, both, { format, groupSize: 32, symmetric: true, replaced });
      }
      await using opened = await openModel(out);
      await writeDropped(opened, lists, other);
      expect(
        await sameBytes(readFile(join(both, 'model.safetensors')), readFile(join(other, 'model.safetensors'))),
      ).toBe(true);
      expect(await readJsonObject(join(both, 'config.json'))).toEqual(await readJsonObject(join(other, 'config.json')));
      // The side files of the drop come along.
      expect(await readdir(both)).toContain('reserved_layers.json');
    }
  });

  it('scales a layer by a float that is given in place of another', async () => {
    const name = 'model.norm.weight';
    const norm = arraySource(new Float32Array(64).fill(2), [64], { name, dtype: 'float16' });
    const [folder, out] = [place.folder(), place.folder('quantized')];
    await writeRandomFolder(folder, llama);
    await using opened = await openModel(folder);
    const rounded = replacedBy(opened, { groupSize: 32, symmetric: false });
    const replaced: Replaced = (tensor) => (tensor === name ? norm : rounded(tensor));
    await writeQuantized(opened, out, {
      format: 'awq',
      groupSize: 32,
      symmetric: false,
      replaced,
      files: { 'quantize_report.json': { loss: 1 } },
    });
    await using after = await openCheckpoint(out);
    expect(after.info(name).dtype).toBe('F16');
    expect(await readJsonObject(join(out, 'quantize_report.json'))).toEqual({ loss: 1 });
    expect(await readdir(out)).toContain('tokenizer.json');
  });

  it('what a group of the engine cannot hold runs as floats, and says so', async () => {
    const { out } = await written(llama, { format: 'gptq' });
    const name = 'model.layers.1.mlp.up_proj';
    const shuffled = place.folder('shuffled');
    await mkdir(shuffled);
    await using checkpoint = await openCheckpoint(out);
    await writeFile(join(shuffled, 'config.json'), JSON.stringify(checkpoint.config));
    const groupOf = Int32Array.from({ length: 64 }, (_, column) => column % 2);
    const other = tensorOfBytes(`${name}.g_idx`, 'I32', [64], new Uint8Array(groupOf.buffer));
    await writeWeights(
      shuffled,
      checkpoint
        .tensorNames()
        .flatMap((tensor) => checkpoint.stored(tensor).map((stored) => (stored.name === other.name ? other : stored))),
    );
    await using model = await loadModel(shuffled, { engine: exact });
    expect(model.source.decoded).toEqual([
      { name: `${name}.weight`, reason: 'its columns are not in the order of their groups' },
    ]);
    const most = 2e-5 * 10;
    expectClose(await logitsOf(model, tokens), await folderLogits(reference, shuffled, tokens), most);
  });
});

describe('what config.json says', () => {
  it.each(kinds)('$format, symmetric: $symmetric', async ({ format, symmetric }) => {
    const { out, config } = await written(llama, { format, symmetric, extra: { ...drops, rms_norm_eps: 1e-5 } });
    expect(config).toMatchObject({ ...drops, num_hidden_layers: 3, model_type: 'llama' });
    expect(config.torch_dtype).toBe(format === 'awq' ? 'float16' : 'float32');
    const quantization = config.quantization_config as JsonObject;
    expect(quantization.quant_method).toBe(format);
    if (format === 'awq')
      expect(quantization).toEqual({
        quant_method: 'awq',
        bits: 4,
        group_size: 32,
        zero_point: true,
        version: 'gemm',
        lm_head: false,
        modules_to_not_convert: ['lm_head'],
      });
    if (format === 'gptq') {
      expect(quantization).toMatchObject({
        sym: symmetric,
        checkpoint_format: symmetric ? 'gptq' : 'gptq_v2',
        desc_act: false,
      });
      expect(await readJsonObject(join(out, 'quantize_config.json'))).toEqual(quantization);
    }
    if (format === 'compressed-tensors') {
      expect(quantization).toMatchObject({ format: 'pack-quantized', ignore: ['lm_head'] });
      expect(quantization.config_groups).toMatchObject({
        group_0: { targets: ['Linear'], weights: { num_bits: 4, symmetric, strategy: 'group', group_size: 32 } },
      });
    }
  });

  it('routers and what else stays a float is named, the head where it is not quantized', async () => {
    const gate = 'block_sparse_moe.gate';
    const { config: ct } = await written(mixtral, { format: 'compressed-tensors', head: true });
    expect((ct.quantization_config as JsonObject).ignore).toEqual([0, 1, 2].map((i) => `model.layers.${i}.${gate}`));
    const { config: awq } = await written(mixtral, { format: 'awq' });
    expect((awq.quantization_config as JsonObject).modules_to_not_convert).toEqual(['lm_head', gate]);
    const { config: gptq } = await written(mixtral, { format: 'gptq', head: true });
    expect(gptq.quantization_config).toMatchObject({
      lm_head: true,
      dynamic: { [`-:.*\\b${gate.replaceAll('.', '\\.')}$`]: {} },
    });
  });

  it('a module that is kept in one layer only is named in full', async () => {
    const [folder, out] = [place.folder(), place.folder('quantized')];
    await writeRandomFolder(folder, llama);
    await using opened = await openModel(folder);
    const rounded = replacedBy(opened, { groupSize: 32, symmetric: true });
    const kept = 'model.layers.1.mlp.down_proj';
    const replaced: Replaced = (name) => (name === `${kept}.weight` ? undefined : rounded(name));
    await writeQuantized(opened, out, { format: 'awq', groupSize: 32, symmetric: true, replaced });
    const { quantization_config: quantization } = (await readJsonObject(join(out, 'config.json')))!;
    expect((quantization as JsonObject).modules_to_not_convert).toEqual(['lm_head', kept]);
    expect(await folderLogits(place.engine(), out, tokens)).toHaveLength(8 * 320);
  });

  it('groups of a whole row', async () => {
    const [folder, out] = [place.folder(), place.folder('quantized')];
    await writeRandomFolder(folder, { ...llama, hiddenSize: 64 });
    await using opened = await openModel(folder);
    const rounded = replacedBy(opened, { groupSize: 64, symmetric: true });
    // Only rows of one group are alike throughout.
    const replaced: Replaced = (name) => (opened.source.info(name).shape.at(-1) === 64 ? rounded(name) : undefined);
    await writeQuantized(opened, out, { format: 'compressed-tensors', groupSize: -1, symmetric: true, replaced });
    await using after = await openCheckpoint(out);
    expect(after.quantization!.groupSizes).toEqual([-1]);
    const [before, found] = [
      dequantized(rounded('model.layers.0.mlp.up_proj.weight') as Int4Source),
      after.source('model.layers.0.mlp.up_proj.weight'),
    ];
    expect(await found.readRows(0, 128)).toEqual(await before.readRows(0, 128));
  });
});

describe('is refused by name', () => {
  const attempt = async (
    config: PartialConfig,
    o: Partial<WriteQuantizedOptions> & { format: Int4Method; extra?: JsonObject },
    change: (name: string, source: ReturnType<Replaced>, checkpoint: ModelSource) => ReturnType<Replaced> = (
      _,
      source,
    ) => source,
  ): Promise<string> => {
    const { extra, ...options } = { groupSize: 32, symmetric: true, ...o };
    const [folder, out] = [place.folder(), place.folder('refused')];
    await writeRandomFolder(folder, config, { extra });
    await using opened = await openModel(folder);
    const rounded = replacedBy(opened, { groupSize: 32, symmetric: true });
    const error: unknown = await writeQuantized(opened, out, {
      replaced: (name) => change(name, rounded(name), opened.source),
      ...options,
    }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(await readdir(join(out, '..'))).not.toContain(out.split('/').at(-1));
    return (error as UserError).message;
  };

  it('a shape that a format cannot hold', async () => {
    expect(await attempt({ ...llama, intermediateSize: 80 }, { format: 'gptq' })).toMatch(
      /GPTQ cannot hold model\.layers\.0\.mlp\.\w+_proj\.weight \[.*80.*\]/,
    );
    expect(await attempt({ ...llama, intermediateSize: 80 }, { format: 'awq' })).toMatch(
      /AWQ cannot hold model\.layers\.0\.mlp\.down_proj\.weight \[64,80\]: rows of 80 are no multiple of the group size 32/,
    );
  });

  it('a tied embedding, and zero points that the config denies', async () => {
    const embedding = await attempt(
      { ...llama, tieWordEmbeddings: true },
      { format: 'gptq' },
      (name, source, checkpoint) => (name.includes('embed') ? rtn(checkpoint.source(name)) : source),
    );
    expect(embedding).toMatch(/linear layers only, not model\.embed_tokens\.weight, which is also the head here/);
    expect(await attempt(llama, { format: 'compressed-tensors', symmetric: false })).toMatch(
      /model\.layers\.0\.\S+ has no zero points, but the model is to be written as asymmetric/,
    );
  });

  it('nothing, another shape, and a model that is quantized already', async () => {
    expect(await attempt(llama, { format: 'awq' }, () => undefined)).toMatch(/nothing of .* is quantized/);
    const shape = await attempt(llama, { format: 'awq' }, (name, source, checkpoint) =>
      name.endsWith('k_proj.weight') ? rtn(checkpoint.source('model.layers.0.self_attn.q_proj.weight')) : source,
    );
    expect(shape).toMatch(/k_proj\.weight is \[32,64\], but what is to replace it is \[64,64\]/);
    const { out } = await written(llama, { format: 'awq' });
    await using opened = await openModel(out);
    await expect(
      writeQuantized(opened, place.folder('again'), {
        format: 'gptq',
        groupSize: 32,
        symmetric: true,
        replaced: () => undefined,
      }),
    ).rejects.toThrow(/is quantized already \(awq\)/);
  });

  it.each([
    [{ quant_method: 'bitsandbytes' }, /quant_method "bitsandbytes" are not read/],
    [{ quant_method: 'gptq', bits: 8, group_size: 32 }, /weights of 8 bits are not read/],
    [{ quant_method: 'gptq', bits: 4, group_size: 32, checkpoint_format: 'marlin' }, /GPTQ's format marlin/],
    [{ quant_method: 'awq', bits: 4, group_size: 32, version: 'gemv' }, /AWQ's version gemv/],
    [{ quant_method: 'awq', bits: 4, group_size: 0 }, /group_size must be a whole number or -1, found 0/],
    [{ quant_method: 'compressed-tensors', format: 'float-quantized' }, /format "float-quantized"/],
  ])('a config of %j over packed weights', async (quantization, message) => {
    const { out } = await written(llama, { format: 'gptq' });
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as JsonObject;
    await writeFile(join(out, 'config.json'), JSON.stringify({ ...config, quantization_config: quantization }));
    await rm(join(out, 'quantize_config.json'), { force: true });
    await expect(openModel(out)).rejects.toThrow(message);
  });

  it('a folder that lacks a part of a weight', async () => {
    const { out } = await written(llama, { format: 'awq' });
    await using checkpoint = await openCheckpoint(out);
    const folder = place.folder();
    await mkdir(folder);
    await writeFile(join(folder, 'config.json'), JSON.stringify(checkpoint.config));
    const tensors = checkpoint.tensorNames().flatMap((name) => checkpoint.stored(name));
    await writeWeights(
      folder,
      tensors.filter(({ name }) => name !== 'model.layers.2.mlp.up_proj.qzeros'),
    );
    await expect(openCheckpoint(folder)).rejects.toThrow(
      /up_proj\.qzeros is missing beside model\.layers\.2\.mlp\.up_proj\.qweight/,
    );
  });
});
