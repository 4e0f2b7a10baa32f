import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GgufFile, SafetensorsFile, loadTokenizer, openCheckpoint } from '../../src/checkpoint/index.js';
import { openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, logits, randomModel, writeFile, zeros } from './modelFolder.js';

const folders = new Folders();
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1044992\n`;
const page = '<!DOCTYPE html><html><head><title>401</title></head></html>';
const indexName = 'model.safetensors.index.json';

describe('files of another kind are named, and what they are', () => {
  it.each<[string, string | Uint8Array, RegExp]>([
    ['a pointer of git-lfs', pointer, /model\.safetensors is a pointer of git-lfs/],
    ['a web page', `\n${page}`, /model\.safetensors is a web page/],
    ['an answer of a server', '{"error":"Unauthorized"}', /is a text, which begins with "\{\\"error/],
    ['a zip archive', Buffer.from('PK\x03\x04\x14\x00\x00\x08\x08\x00', 'latin1'), /is a zip archive/],
    ['a pickle', Buffer.from('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.', 'latin1'), /is a Python pickle/],
    ['a GGUF file', Buffer.from('GGUF\x03\x00\x00\x00\x00\x00\x00\x00', 'latin1'), /is a GGUF file/],
    ['nothing', '', /is truncated/],
  ])('%s in place of the weights', async (_, content, says) => {
    const folder = await folders.write(await randomModel());
    writeFileSync(join(folder, 'model.safetensors'), content);
    await expect(openModel(folder)).rejects.toThrow(says);
  });

  it.each<[string, string, (folder: string) => Promise<unknown>]>([
    ['config.json', pointer, openCheckpoint],
    ['tokenizer.json', pointer, loadTokenizer],
    ['tokenizer.json', page, loadTokenizer],
  ])('in place of %s', async (name, content, open) => {
    const folder = await folders.write(await randomModel());
    writeFileSync(join(folder, name), content);
    await expect(open(folder)).rejects.toThrow(
      content === pointer ? `${name} is a pointer of git-lfs` : `${name} is a web page`,
    );
  });

  it('in place of a shard, and of a GGUF file', async () => {
    const folder = await folders.write(await randomModel(), { shardBytes: 20_000 });
    writeFileSync(join(folder, 'model-00002-of-00008.safetensors'), pointer);
    await expect(openModel(folder)).rejects.toThrow('model-00002-of-00008.safetensors is a pointer of git-lfs');
    writeFileSync(join(folder, 'x.gguf'), pointer);
    await expect(GgufFile.open(join(folder, 'x.gguf'))).rejects.toThrow(
      'x.gguf is no GGUF file, but a pointer of git-lfs',
    );
  });

  it('but a header whose length reads like one of them is a header', async () => {
    const path = join(folders.empty(), 'x.safetensors');
    // 640 bytes are 80 02 in the file, as a pickle begins.
    for (let pad = 1; pad < 700; pad += 8) {
      await writeFile(path, [['x'.repeat(pad), zeros('F32', [2])]]);
      if (readFileSync(path).readBigUInt64LE() === 640n) break;
    }
    expect(readFileSync(path).readBigUInt64LE()).toBe(640n);
    await expect(SafetensorsFile.open(path)).resolves.toBeDefined();
  });
});

describe('shards', () => {
  const norm = 'model.norm.weight';
  async function sharded(): Promise<{
    folder: string;
    expected: Float32Array;
    shards: string[];
    map: Record<string, string>;
  }> {
    const model = await randomModel();
    const expected = await logits(await folders.write(model));
    const folder = await folders.write(model, { shardBytes: 20_000 });
    const { weight_map: map } = JSON.parse(readFileSync(join(folder, indexName), 'utf8')) as {
      weight_map: Record<string, string>;
    };
    return { folder, expected, map, shards: [...new Set(Object.values(map))].sort() };
  }
  const write = (folder: string, map: Record<string, string>): void =>
    writeFileSync(join(folder, indexName), JSON.stringify({ metadata: {}, weight_map: map }));

  it('are read as the index says', async () => {
    const { folder, expected } = await sharded();
    expectClose(await logits(folder), expected, 0);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([]);
  });

  it.each<[string, (map: Record<string, string>, shards: string[]) => void, RegExp]>([
    [
      'wrong',
      (map, shards) => void (map[norm] = shards.find((shard) => shard !== map[norm])!),
      /names another file for a tensor.*model\.norm\.weight is in model-0000/,
    ],
    ['silent', (map) => void delete map[norm], /does not list a tensor.*model\.norm\.weight is in model-0000/],
  ])('are all read where the index is %s about a tensor, with a note', async (_, change, says) => {
    const { folder, expected, map, shards } = await sharded();
    change(map, shards);
    write(folder, map);
    expectClose(await logits(folder), expected, 0);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([expect.stringMatching(says)]);
  });

  it('that two hold a tensor of, and no index says which, are refused', async () => {
    const { folder, map, shards } = await sharded();
    const other = shards.find((shard) => shard !== map[norm])!;
    const file = await SafetensorsFile.open(join(folder, other));
    const tensors = await Promise.all(
      file.tensorNames().map(async (name) => [name, { ...file.info(name), bytes: await file.bytes(name) }] as const),
    );
    await file.close();
    await writeFile(join(folder, other), [...tensors, [norm, zeros('F32', [32])]]);
    delete map[norm];
    write(folder, map);
    await expect(openModel(folder)).rejects.toThrow(/both model-.* and model-.* hold model\.norm\.weight/);
  });

  it('of another split are named', async () => {
    const { folder, map } = await sharded();
    write(
      folder,
      Object.fromEntries(Object.entries(map).map(([name, shard]) => [name, shard.replace(/of-\d+/, 'of-00099')])),
    );
    await expect(openModel(folder)).rejects.toThrow(/model-00001-of-00099\.safetensors is missing/);
  });

  it('without an index name it', async () => {
    const { folder } = await sharded();
    rmSync(join(folder, indexName));
    await expect(openModel(folder)).rejects.toThrow(indexName);
  });

  it('that the index does not list are where a missing tensor may be', async () => {
    const { folder, map, shards } = await sharded();
    const last = shards.at(-1)!;
    write(folder, Object.fromEntries(Object.entries(map).filter(([, shard]) => shard !== last)));
    await expect(openModel(folder)).rejects.toThrow(
      new RegExp(`may be in ${last.replaceAll('.', '\\.')}, which the index does not list`),
    );
  });

  it('that lack a tensor of the index are refused with both names', async () => {
    const { folder, map } = await sharded();
    write(folder, { ...map, extra: map[norm] });
    await expect(openModel(folder)).rejects.toThrow(`places extra in ${map[norm]}, which does not hold it`);
  });

  it('lie in the folder, not elsewhere', async () => {
    const { folder, map } = await sharded();
    mkdirSync(join(folder, 'in'));
    renameSync(join(folder, map[norm]), join(folder, 'in', map[norm]));
    write(folder, { ...map, [norm]: `in/${map[norm]}` });
    await expect(openModel(folder)).rejects.toThrow('expected the name of a file in the folder');
  });
});
