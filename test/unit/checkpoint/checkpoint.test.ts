import { copyFileSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  openCheckpoint,
  planShards,
  safetensorsBytes,
  tensorOfBytes,
  writeSafetensors,
  writeWeights,
  type TensorToWrite,
} from '../../../src/checkpoint/index.js';
import { UserError, decodeFloats } from '../../../src/engine/index.js';
import { absent, inShared, temporaryFolder } from './places.js';

const root = temporaryFolder();
const newFolder = (config: unknown = { model_type: 'llama' }): string => {
  const folder = mkdtempSync(join(root, 'model-'));
  if (config !== null)
    writeFileSync(join(folder, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  return folder;
};
const f32 = (name: string, ...values: number[]): TensorToWrite =>
  tensorOfBytes(name, 'F32', [values.length], new Uint8Array(Float32Array.from(values).buffer));

describe('a model folder', () => {
  it('of one file opens, and its tensors can be read, also after closing', async () => {
    const folder = newFolder({ model_type: 'llama', drop_attn_list: [1] });
    writeFileSync(join(folder, 'generation_config.json'), '{"eos_token_id":2}');
    expect(await writeWeights(folder, [f32('a', 1, 2), f32('b', 3)])).toEqual(['model.safetensors']);
    await using checkpoint = await openCheckpoint(folder);
    expect(checkpoint.config).toEqual({ model_type: 'llama', drop_attn_list: [1] });
    expect(checkpoint.generationConfig).toEqual({ eos_token_id: 2 });
    expect(checkpoint.tensorNames()).toEqual(['a', 'b']);
    expect([checkpoint.has('a'), checkpoint.has('c')]).toEqual([true, false]);
    const before = checkpoint.bytesRead;
    for (let i = 0; i < 2; i++) {
      expect([...decodeFloats(await checkpoint.source('a').readRows(0, 1), 'float32')]).toEqual([1, 2]);
      await checkpoint.close();
    }
    expect(checkpoint.bytesRead).toBe(before + 16);
    expect(() => checkpoint.source('c')).toThrow(`${folder} has no tensor c (it has 2 tensors, such as a and b)`);
  });

  it('is cut into shards in order, an oversized tensor on its own', async () => {
    const tensors = [f32('a', 1), f32('b', 2), f32('c', 1, 2, 3, 4), f32('d', 4)];
    expect(planShards(tensors, 8).map((shard) => shard.map(({ name }) => name))).toEqual([['a', 'b'], ['c'], ['d']]);
    const folder = newFolder();
    const bytes: number[] = [];
    await writeWeights(folder, tensors, {
      shardBytes: 8,
      onProgress: ({ bytesDone, bytesTotal }) => bytes.push(bytesDone, bytesTotal),
    });
    expect(bytes).toEqual([4, 28, 8, 28, 24, 28, 28, 28]);
    expect(readdirSync(folder).sort()).toEqual([
      'config.json',
      ...[1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`),
      'model.safetensors.index.json',
    ]);
    expect(JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8'))).toMatchObject({
      metadata: { total_size: 28 },
      weight_map: { d: 'model-00003-of-00003.safetensors' },
    });
    await using checkpoint = await openCheckpoint(folder);
    expect(checkpoint.tensorNames()).toEqual(['a', 'b', 'c', 'd']);
    expect([...decodeFloats(await checkpoint.source('c').readRows(0, 1), 'float32')]).toEqual([1, 2, 3, 4]);
  });

  async function sharded(): Promise<string> {
    const folder = newFolder();
    await writeWeights(folder, [f32('a', 1), f32('b', 2)], { shardBytes: 4 });
    return folder;
  }
  const index = (folder: string, value: unknown): string => {
    writeFileSync(
      join(folder, 'model.safetensors.index.json'),
      typeof value === 'string' ? value : JSON.stringify(value),
    );
    return folder;
  };

  it.each<[what: string, folder: () => string | Promise<string>, message: string]>([
    ['does not exist', () => join(root, 'none'), 'there is no folder'],
    ['is a name on Hugging Face', () => 'meta-llama/Llama-3.1-8B', 'is hf:meta-llama/Llama-3.1-8B in a command'],
    [
      'is a file',
      () => join(newFolder(), 'config.json'),
      'is a file, expected a model folder (did you mean its folder,',
    ],
    ['has no config', () => newFolder(null), 'has no config.json'],
    ['has a broken config', () => newFolder('{"a":'), 'config.json is not valid JSON'],
    ['has a config that is no object', () => newFolder('[1]'), 'config.json must hold a JSON object, found an array'],
    [
      'has no weights',
      () => newFolder(),
      'has neither model.safetensors nor model.safetensors.index.json (is the download complete?)',
    ],
    [
      'has weights of another kind',
      () => {
        const folder = newFolder();
        writeFileSync(join(folder, 'pytorch_model.bin'), '');
        return folder;
      },
      'it holds pytorch_model.bin',
    ],
    [
      'has an index without a map',
      async () => index(await sharded(), {}),
      'expected a weight_map of tensor names to files, found none',
    ],
    [
      'has an index that leaves the folder',
      async () => index(await sharded(), { weight_map: { a: '../a.safetensors' } }),
      'weight_map of a: expected the name of a file in the folder',
    ],
    [
      'has an index of a missing shard',
      async () => index(await sharded(), { weight_map: { a: 'no.safetensors' } }),
      'no.safetensors is missing, but model.safetensors.index.json names it for a',
    ],
    [
      'has an index of an absent tensor',
      async () => index(await sharded(), { weight_map: { z: 'model-00001-of-00002.safetensors' } }),
      'places z in model-00001-of-00002.safetensors, which does not hold it',
    ],
    [
      'has a truncated shard',
      async () => {
        const folder = await sharded();
        writeFileSync(join(folder, 'model-00002-of-00002.safetensors'), 'short');
        return folder;
      },
      'model-00002-of-00002.safetensors is truncated',
    ],
  ])('that %s is refused in one sentence', async (_, folder, message) => {
    const error = await openCheckpoint(await folder()).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toContain(message);
  });

  it('is copied tensor by tensor without a change', async () => {
    const [from, to] = [newFolder(), newFolder()];
    await writeWeights(from, [f32('a', 1, 2), tensorOfBytes('q', 'I32', [2, 1], new Uint8Array(8).fill(7))]);
    await using checkpoint = await openCheckpoint(from);
    await writeSafetensors(
      join(to, 'model.safetensors'),
      checkpoint.tensorNames().map((name) => checkpoint.raw(name)),
    );
    expect(readFileSync(join(to, 'model.safetensors'))).toEqual(readFileSync(join(from, 'model.safetensors')));
  });
});

const cases = inShared('oracle', 'cases');
describe.skipIf(absent(cases))('model folders written by transformers', () => {
  it('open, and every tensor is as long as its shape says', async () => {
    const names = absent(cases) ? [] : readdirSync(cases);
    for (const name of names) {
      await using checkpoint = await openCheckpoint(join(cases, name));
      expect(checkpoint.config.model_type).toBeTypeOf('string');
      for (const tensor of checkpoint.tensorNames()) {
        const { dtype, shape, bytes } = checkpoint.info(tensor);
        const source = checkpoint.source(tensor);
        expect(bytes).toBe(shape.reduce((product, size) => product * size, safetensorsBytes[dtype]));
        expect((await source.readRows(0, 1)).byteLength).toBe(shape[shape.length - 1] * safetensorsBytes[dtype]);
      }
    }
    expect(names.length).toBeGreaterThan(10);
  });

  it('without their shards are refused', async () => {
    const folder = newFolder();
    const from = join(cases, 'llama-v4-bf16-sharded');
    for (const name of ['config.json', 'model.safetensors.index.json'])
      copyFileSync(join(from, name), join(folder, name));
    await expect(openCheckpoint(folder)).rejects.toThrow(
      'is missing, but model.safetensors.index.json names it for lm_head.weight',
    );
  });
});
