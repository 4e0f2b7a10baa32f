import { readFile, writeFile, open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createEngine, sizeOf } from '../../../src/engine/index.js';
import { GgufFile, SourceView, loadTokenizer } from '../../../src/checkpoint/index.js';
import { writeDropped } from '../../../src/drop/index.js';
import { checkQuantizable, int8Quantizer, rtnQuantizer } from '../../../src/quant/index.js';
import { f32, i32s, string, u32, type GgufMetadata, type GgufValue } from '../../../src/checkpoint/gguf/ggufFormat.js';
import { writeGguf, type GgufTensor } from '../../../src/checkpoint/gguf/ggufWriter.js';
import { exportModel, type ExportType } from '../../../src/export/index.js';
import {
  Model,
  loadModel,
  openModel,
  type Drops,
  type PartialConfig,
  type Quantize,
} from '../../../src/models/index.js';
import { expectClose } from '../../support/expectClose.js';
import { folderLogits, logitsOf, workplace, writeRandomFolder } from '../export/randomFolder.js';

const place = workplace();
const tokens = [3, 1, 4, 1, 5, 9, 2, 6];
const llama: PartialConfig = {
  modelType: 'llama',
  vocabSize: 320,
  hiddenSize: 32,
  intermediateSize: 64,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 16,
  maxPositionEmbeddings: 64,
};
const shapes: Readonly<Record<string, PartialConfig>> = {
  llama,
  'llama with biases, tied': { ...llama, attentionBias: true, mlpBias: true, tieWordEmbeddings: true },
  'llama, its angles stretched': {
    ...llama,
    rope: { type: 'llama3', theta: 10000, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
  },
  'llama, its angles stretched evenly': { ...llama, rope: { type: 'linear', theta: 5000, factor: 2 } },
  qwen3: { ...llama, modelType: 'qwen3' },
  phi3: { ...llama, modelType: 'phi3' },
  mixtral: { ...llama, modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 },
};

async function written(
  config: PartialConfig,
  { drops, type = 'f32', zero }: { drops?: Drops; type?: ExportType; zero?: boolean } = {},
): Promise<{ folder: string; out: string }> {
  const [folder, out] = [place.folder(), `${place.folder('out')}.gguf`];
  await writeRandomFolder(folder, config);
  await exportModel(folder, { to: 'gguf', type, out, zero, drops, engine: place.engine() });
  return { folder, out };
}

async function ggufLogits(path: string): Promise<Float32Array> {
  await using model = await loadModel(path, { engine: place.engine() });
  return await logitsOf(model, tokens);
}

describe('a model of a GGUF file', () => {
  it.each(Object.keys(shapes))('computes what its folder does: %s', async (name) => {
    const { folder, out } = await written(shapes[name]);
    expectClose(await ggufLogits(out), await folderLogits(place.engine(), folder, tokens), 1e-5);
  });

  it.each([
    ['llama', { attention: [0, 2], mlp: [3] }],
    ['llama', { attention: [0, 1, 2, 3], mlp: [] }],
    ['llama', { attention: [], mlp: [0, 1, 2, 3] }],
    ['qwen3', { attention: [1], mlp: [0, 2] }],
    ['mixtral', { attention: [3], mlp: [2] }],
  ])('has what its export dropped: %s, %j', async (name, drops) => {
    const { folder, out } = await written(shapes[name], { drops });
    await using opened = await openModel(out);
    expect([opened.config.dropAttention, opened.config.dropMlp]).toEqual([drops.attention, drops.mlp]);
    const held = opened.source.tensorNames().filter((tensor) => /^model\.layers\.2\..*(mlp|moe)/.test(tensor));
    expect(held.length > 0).toBe(!drops.mlp.includes(2));
    expectClose(await ggufLogits(out), await folderLogits(place.engine(), folder, tokens, drops), 1e-5);
  });

  it('says of each tensor its type in the file, and what it is read as', async () => {
    const { out } = await written({ ...llama, hiddenSize: 32 }, { type: 'q4_0' });
    await using opened = await openModel(out);
    const { source } = opened;
    const of = (name: string): unknown[] => {
      const { dtype, shape, bytes } = source.info(name);
      const integers = source.int4(name) ? 'int4' : source.int8?.(name)?.dtype;
      return [dtype, shape, bytes, integers ?? source.source(name).dtype];
    };
    expect(of('model.layers.1.mlp.up_proj.weight')).toEqual(['Q4_0', [64, 32], 64 * 18, 'int4']);
    expect(of('model.embed_tokens.weight')).toEqual(['Q8_0', [320, 32], 320 * 34, 'int8']);
    expect(of('model.norm.weight')).toEqual(['F32', [32], 128, 'float32']);
  });

  it.each([
    ['llama', 'q4_0'],
    ['mixtral', 'q4_0'],
    ['llama', 'q4_1'],
    ['mixtral', 'q4_1'],
  ] as const)('of 4 bits computes with its integers: %s, %s', async (name, type) => {
    const { out } = await written({ ...shapes[name], tieWordEmbeddings: true }, { type });
    await using opened = await openModel(out, { blocks: 'float32' });
    // With activations in float32 for these.
    using engine = await createEngine('wasm', { int4: 'exact' });
    await using model = await loadModel(out, { engine });
    const found = await logitsOf(model, tokens);
    const exact = await logitsOf(new Model(place.engine(), opened.description, opened.source), tokens);
    const largest = exact.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expectClose(found, exact, 0.01 * largest);
    const q = model.source.int4('model.layers.0.self_attn.q_proj.weight');
    expect((await q?.int4())?.format).toEqual({ groupSize: 32, zeroPoints: false, minima: type === 'q4_1' });
  });

  it.each(['llama', 'mixtral', 'qwen3'])('of 8 bits computes with its integers: %s', async (name) => {
    const { out } = await written({ ...shapes[name], tieWordEmbeddings: true }, { type: 'q8_0' });
    await using opened = await openModel(out, { blocks: 'float32' });
    using engine = await createEngine('wasm');
    await using model = await loadModel(out, { engine });
    const found = await logitsOf(model, tokens);
    const exact = await logitsOf(new Model(place.engine(), opened.description, opened.source), tokens);
    const largest = exact.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    // What bfloat16 would make of the blocks is off by up to 2^-8 in each weight, activations of 16 bits by 2^-16.
    expectClose(found, exact, 5e-4 * largest);
    const q = model.source.int8!('model.layers.0.self_attn.q_proj.weight')!;
    expect(q.format).toEqual({ groupSize: 32 });
    // Fewer bits are what --int4 asks for; --int8 leaves what is stored.
    const rounded = async (quantize: Quantize): Promise<Float32Array> => {
      await using rounding = await loadModel(out, { engine, quantize });
      return await logitsOf(rounding, tokens);
    };
    expect(await rounded(int8Quantizer())).toEqual(found);
    expect(await rounded(rtnQuantizer({ head: 'int4' }))).not.toEqual(found);
  });

  it('whose weights are replaced, by an adapter say, has no integers of those', async () => {
    const { out } = await written(llama, { type: 'q8_0' });
    await using opened = await openModel(out);
    const [up, down] = ['up_proj', 'down_proj'].map((name) => `model.layers.0.mlp.${name}.weight`);
    const view = new SourceView(opened.source, { replaced: new Map([[up, () => opened.source.source(up)]]) });
    expect([view.int8(up), view.int8(down)?.name]).toEqual([undefined, down]);
  });

  it.each([
    ['llama', 'q4_0'],
    ['llama', 'q4_1'],
    ['llama', 'q8_0'],
    ['mixtral', 'q8_0'],
    ['phi3', 'q8_0'],
  ] as const)('is exported with the same blocks: %s, %s', async (name, type) => {
    const { out } = await written(shapes[name], { type });
    const again = `${place.folder('again')}.gguf`;
    await exportModel(out, { to: 'gguf', out: again, engine: place.engine() });
    await using first = await GgufFile.open(out);
    await using second = await GgufFile.open(again);
    expect(second.metadata['general.file_type']).toBe(first.metadata['general.file_type']);
    for (const name of first.tensorNames()) {
      const rows = sizeOf(first.info(name).shape.slice(0, -1));
      expect(second.type(name), name).toBe(first.type(name));
      const blocks = await second.encodedRows(name, 0, rows);
      expect(Buffer.compare(blocks, await first.encodedRows(name, 0, rows)), name).toBe(0);
    }
  });

  it('is written as a folder that computes the same, with its tokenizer', async () => {
    const { out } = await written(llama);
    await using opened = await openModel(out);
    const folder = place.folder('dropped');
    const drops = { attention: [1], mlp: [2] };
    await writeDropped(opened, drops, folder);
    await using model = await loadModel(out, { engine: place.engine(), drops });
    expectClose(await folderLogits(place.engine(), folder, tokens), await logitsOf(model, tokens), 1e-5);
    const texts = ['Once upon a time', '  12 cats<|endoftext|>'];
    const [theirs, ours] = [await loadTokenizer(folder), await opened.source.tokenizer()];
    expect(texts.map((text) => theirs.encode(text))).toEqual(texts.map((text) => ours.encode(text)));
    await expect(writeDropped(opened, drops, place.folder('config'), { configOnly: true })).rejects.toThrow(
      /is one file, over which no config\.json can be laid/,
    );
  });

  it('of integers is not quantized again', async () => {
    const { out } = await written(llama, { type: 'q4_1' });
    await using opened = await openModel(out);
    expect(() =>
      checkQuantizable(opened, {
        format: 'compressed-tensors',
        groupSize: 32,
        symmetric: true,
        replaced: () => undefined,
      }),
    ).toThrow(
      /is quantized already: model\.layers\.0\.self_attn\.q_proj\.weight is Q4_1 \(quantize the model of floats/,
    );
  });

  it('reads weights by rows as it is asked', async () => {
    const { out } = await written(llama);
    await using opened = await openModel(out);
    const source = opened.source.source('model.layers.0.self_attn.k_proj.weight');
    const whole = (await source.readRows(0, 32)).slice();
    const before = opened.source.bytesRead;
    expect((await source.readRows(16, 20)).slice()).toEqual(whole.slice(16 * 128, 20 * 128));
    // A head's rows lie among each other.
    expect(opened.source.bytesRead - before).toBe(16 * 128);
  });
});

/** The file's metadata and tensors, changed, as another file. */
async function changed(
  path: string,
  change: (parts: { metadata: Record<string, GgufValue>; tensors: GgufTensor[] }) => void,
): Promise<string> {
  await using file = await GgufFile.open(path);
  const metadata: Record<string, GgufValue> = {};
  for (const [key, value] of Object.entries(file.metadata)) {
    if (typeof value === 'string') metadata[key] = string(value);
    if (typeof value === 'number') metadata[key] = Number.isInteger(value) ? u32(value) : f32(value);
    if (Array.isArray(value) && key.includes('head_count')) metadata[key] = i32s(value as number[]);
  }
  const tensors = file.tensorNames().map((name): GgufTensor => ({ name, type: 'F32', source: file.source(name) }));
  change({ metadata, tensors });
  const out = `${place.folder('changed')}.gguf`;
  await using handle = await open(out, 'w');
  await writeGguf(handle, metadata as GgufMetadata, tensors);
  return out;
}

describe('a GGUF file that is wrong is refused in a sentence', () => {
  const refused = async (
    change: Parameters<typeof changed>[1],
    message: RegExp,
    config: PartialConfig = llama,
  ): Promise<void> => {
    const { out } = await written(config);
    await expect(openModel(await changed(out, change))).rejects.toThrow(message);
  };

  it('a tensor is missing', () =>
    refused(
      ({ tensors }) => void tensors.splice(5, 1),
      /\.gguf: tensor blk\.0\.attn_k\.weight \[32,32\] is missing \(is the download/,
    ));
  it('a tensor is of another shape', () =>
    refused(
      ({ metadata }) => void (metadata['llama.feed_forward_length'] = u32(96)),
      /tensor blk\.0\.ffn_gate\.weight is \[64,32\], but its metadata say \[96,32\]/,
    ));
  it('a tensor is not known', () =>
    refused(
      ({ tensors }) => void tensors.push({ ...tensors[1], name: 'blk.0.attn_sinks.weight' }),
      /tensor blk\.0\.attn_sinks\.weight \[32\] is none of this architecture's/,
    ));
  it('an architecture is not known', () =>
    refused(
      ({ metadata }) => void (metadata['general.architecture'] = string('bert')),
      /GGUF files of architecture "bert" are not read \(llama, deci/,
    ));
  it('a key is not known', () =>
    refused(
      ({ metadata }) => void (metadata['llama.logit_scale'] = f32(0.5)),
      /llama\.logit_scale \(0\.5\) is not known of this architecture, and may change/,
    ));
  it('a key is missing', () =>
    refused(({ metadata }) => void delete metadata['llama.block_count'], /it holds no number llama\.block_count/));
  it('angles are divided otherwise than Llama 3 does', () =>
    refused(({ tensors }) => {
      const { source } = tensors[1];
      const divisors = new Float32Array([3, 1, 2, 1, 5, 1, 1, 9]);
      const readRows = async (): Promise<Uint8Array> => new Uint8Array(divisors.buffer);
      tensors.push({ name: 'rope_freqs.weight', type: 'F32', source: { ...source, shape: [8], readRows } });
    }, /tensor rope_freqs\.weight divides the rotary angles otherwise/));
  it('layers are of several widths', async () => {
    const { out } = await written(llama, { drops: { attention: [], mlp: [1] } });
    const wider = await changed(out, ({ tensors, metadata }) => {
      metadata['deci.feed_forward_length'] = i32s([64, 32, 64, 64]);
      const at = tensors.findIndex(({ name }) => name === 'blk.1.ffn_down.weight');
      const readRows = async (start: number, end: number): Promise<Uint8Array> =>
        new Uint8Array(new Float32Array((end - start) * 32).fill(1).buffer);
      tensors[at] = { ...tensors[at], source: { ...tensors[at].source, readRows } };
    });
    await expect(openModel(wider)).rejects.toThrow(
      /tensor blk\.1\.ffn_down\.weight \[32,32\] should be zero, since its layer has a narrower module/,
    );
  });

  it('it is truncated, in its head or in a tensor', async () => {
    const { out } = await written(llama);
    const bytes = await readFile(out);
    const cut = async (length: number): Promise<string> => {
      const path = `${place.folder('cut')}.gguf`;
      await writeFile(path, bytes.subarray(0, length));
      return path;
    };
    await expect(openModel(await cut(bytes.length - 100))).rejects.toThrow(
      /is truncated: tensor blk\.3\.ffn_down\.weight ends at byte \d+, the file at \d+/,
    );
    await expect(openModel(await cut(500))).rejects.toThrow(/is truncated: its head goes beyond its 500 bytes/);
    await expect(openModel(await cut(0))).rejects.toThrow(/is truncated/);
  });

  it.each([1, -1])('its count of tensors is off by %i', async (by) => {
    const { out } = await written(llama);
    const bytes = await readFile(out);
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(8) + BigInt(by), 8);
    await writeFile(out, bytes);
    await expect(openModel(out)).rejects.toThrow(/is the count of tensors in its head wrong\?|expected \d+ behind/);
  });

  it('it is not there', async () => {
    await expect(openModel('/nowhere/x.gguf')).rejects.toThrow(/cannot read \/nowhere\/x\.gguf: it does not exist/);
  });
});

describe('a GGUF file in several', () => {
  const split = async (count: number, total?: number): Promise<string[]> => {
    const { out } = await written(llama);
    const base = place.folder('split');
    const paths: string[] = [];
    for (let part = 0; part < count; part++) {
      const path = `${base}-0000${part + 1}-of-0000${count}.gguf`;
      const made = await changed(out, ({ metadata, tensors }) => {
        const all = tensors.splice(0);
        const step = Math.ceil(all.length / count);
        tensors.push(...all.slice(part * step, (part + 1) * step));
        if (part > 0) for (const key of Object.keys(metadata)) delete metadata[key];
        Object.assign(metadata, {
          'split.no': u32(part),
          'split.count': u32(count),
          'split.tensors.count': u32(total ?? all.length),
        });
      });
      await writeFile(path, await readFile(made));
      paths.push(path);
    }
    return paths;
  };

  it('is one model', async () => {
    const [first] = await split(3);
    await using opened = await openModel(first);
    expect(opened.source.tensorNames()).toHaveLength(39);
    expect((await ggufLogits(first)).every(Number.isFinite)).toBe(true);
  });

  it('is refused where a part is missing, later ones are given, or their tensors do not add up', async () => {
    const [, second] = await split(2);
    await expect(openModel(second)).rejects.toThrow(/is part 2 of 2 \(give .*-00001-of-00002\.gguf\)$/);
    const [first] = await split(2, 40);
    await expect(openModel(first)).rejects.toThrow(/says that its 2 files hold 40 tensors, but they hold 39/);
    const renamed = `${place.folder('renamed')}.gguf`;
    await writeFile(renamed, await readFile(first));
    await expect(openModel(renamed)).rejects.toThrow(/is a part of 2 files, which must be named as they were written/);
  });
});
