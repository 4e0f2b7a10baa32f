import { access, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UserError, shownValue } from '../engine/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from './jsonFile.js';
import { SafetensorsFile } from './safetensorsFile.js';
import { indexFile, singleFile } from './shards.js';

/** A folder's weights, by their headers. They are finite, as far as they are read. */
export interface WeightFiles {
  readonly files: readonly SafetensorsFile[];
  /** The file that holds each tensor. */
  readonly places: ReadonlyMap<string, SafetensorsFile>;
  /** What the index does not say as the files have it, and how it is taken. */
  readonly notes: readonly string[];
  /** Other safetensors files of the folder. */
  readonly unread: readonly string[];
}

/** Opens `model.safetensors`, or the shards that an index names. */
export async function openWeightFiles(folder: string): Promise<WeightFiles> {
  const isSingle = await exists(join(folder, singleFile));
  const opened = await (isSingle ? openSingle(folder) : openShards(folder));
  const read = new Set(opened.files.map(({ path }) => basename(path)));
  const there = await readdir(folder).catch((): string[] => []);
  const unread = there.filter((name) => name.endsWith('.safetensors') && !read.has(name)).sort();
  return { ...opened, unread };
}

type Opened = Omit<WeightFiles, 'unread'>;

/** The shards that a folder's index names, each once; none where it has no index. */
export async function shardNames(folder: string): Promise<string[]> {
  const path = join(folder, indexFile);
  const index = await readJsonObject(path);
  return index ? [...new Set(weightMap(path, index).map(([, shard]) => shard))] : [];
}

async function openSingle(folder: string): Promise<Opened> {
  const file = await SafetensorsFile.open(join(folder, singleFile), { finite: true });
  return { files: [file], places: new Map(file.tensorNames().map((name) => [name, file])), notes: [] };
}

/** As transformers does, which reads every tensor of every shard that the index names, whatever it says of the tensor. */
async function openShards(folder: string): Promise<Opened> {
  const index = await readJsonObject(join(folder, indexFile));
  if (!index) throw await noWeights(folder);
  const listed = weightMap(join(folder, indexFile), index);
  const shards = new Map<string, SafetensorsFile>();
  for (const [name, shard] of listed) {
    if (shards.has(shard)) continue;
    const path = join(folder, shard);
    if (!(await exists(path)))
      throw new UserError(`${folder}: ${shard} is missing, but ${indexFile} names it for ${name}`, {
        hint: 'is the download complete?',
      });
    shards.set(shard, await SafetensorsFile.open(path, { finite: true }));
  }
  const holders = new Map<string, string[]>();
  for (const [shard, file] of shards)
    for (const name of file.tensorNames()) holders.set(name, [...(holders.get(name) ?? []), shard]);
  const places = new Map<string, SafetensorsFile>();
  const misplaced = new Set<string>();
  for (const [name, shard] of listed) {
    const file = shards.get(shard)!;
    if (file.has(name)) places.set(name, file);
    else misplaced.add(name);
  }
  const unlisted = [...holders.keys()].filter((name) => !places.has(name) && !misplaced.has(name));
  for (const name of [...misplaced, ...unlisted])
    places.set(name, shards.get(onlyHolder(folder, name, holders, listed))!);
  const notes = [
    ...noted([...misplaced], 'names another file for', holders),
    ...noted(unlisted, 'does not list', holders),
  ];
  return { files: [...shards.values()], places, notes };
}

function noted(tensors: readonly string[], how: string, holders: ReadonlyMap<string, readonly string[]>): string[] {
  if (!tensors.length) return [];
  const [first] = tensors;
  const count = tensors.length === 1 ? 'a tensor' : `${tensors.length} tensors`;
  return [
    `${indexFile} ${how} ${count} of its files, which are read all the same: ${first} is in ${holders.get(first)![0]}`,
  ];
}

/** The one shard that holds a tensor of which the index does not say so. */
function onlyHolder(
  folder: string,
  name: string,
  holders: ReadonlyMap<string, readonly string[]>,
  listed: readonly (readonly [string, string])[],
): string {
  const [shard, another] = holders.get(name) ?? [];
  if (!shard) {
    const [, said] = listed.find(([tensor]) => tensor === name)!;
    throw new UserError(`${folder}: ${indexFile} places ${name} in ${said}, which does not hold it`);
  }
  if (another)
    throw new UserError(
      `${folder}: both ${shard} and ${another} hold ${name}, and ${indexFile} does not say which counts`,
    );
  return shard;
}

function weightMap(path: string, index: JsonObject): [tensor: string, shard: string][] {
  const map = index.weight_map;
  if (!isJsonObject(map) || !Object.keys(map).length)
    throw new UserError(
      `${path}: expected a weight_map of tensor names to files, found ${map === undefined ? 'none' : shownValue(map)}`,
    );
  return Object.entries(map).map(([name, shard]) => {
    if (
      typeof shard !== 'string' ||
      !shard ||
      shard.startsWith('.') ||
      basename(shard) !== shard ||
      shard.includes('\\')
    )
      throw new UserError(
        `${path}: weight_map of ${name}: expected the name of a file in the folder, found ${shownValue(shard)}`,
      );
    return [name, shard];
  });
}

async function noWeights(folder: string): Promise<UserError> {
  const others = (await readdir(folder)).filter((name) => /\.(bin|pt|pth|gguf|safetensors)$/.test(name)).sort();
  const hint = others.length
    ? `it holds ${others.slice(0, 3).join(', ')}${others.length > 3 ? ', …' : ''}, but weights are read from these two names only`
    : 'is the download complete?';
  return new UserError(`${folder} has neither ${singleFile} nor ${indexFile}`, { hint });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
