import { UserError, shownValue } from '../engine/index.js';
import { adapterAlone, readAdapterConfig } from './adapter/adapterFiles.js';
import { exists } from './exists.js';
import { fileError } from './fileError.js';
import { fileSystem } from './files/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from './jsonFile.js';
import { SafetensorsFile } from './safetensorsFile.js';
import { namedWeights, noWeights } from './weightNames.js';

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

/** Opens a folder's one file of weights, or the shards that an index names: see `namedWeights`. */
export async function openWeightFiles(folder: string): Promise<WeightFiles> {
  const there = await fileSystem.readdir(folder).catch((error: unknown) => {
    throw fileError(error, 'cannot read', folder);
  });
  const named = namedWeights(folder, there);
  if (!named) {
    const adapter = await readAdapterConfig(folder);
    throw adapter ? adapterAlone(folder, adapter) : noWeights(folder, there);
  }
  const { file, index } = named;
  const opened = await (file === undefined ? openShards(folder, index) : openSingle(fileSystem.join(folder, file)));
  const read = new Set(opened.files.map(({ path }) => fileSystem.basename(path)));
  const unread = there.filter((name) => name.endsWith('.safetensors') && !read.has(name)).sort();
  return { ...opened, unread };
}

type Opened = Omit<WeightFiles, 'unread'>;

/** The files that hold a folder's weights, also those that are not there yet; none where it is not known which they are. */
export async function weightFileNames(folder: string): Promise<string[]> {
  const named = await fileSystem
    .readdir(folder)
    .then((names) => namedWeights(folder, names))
    .catch(() => undefined);
  if (!named) return [];
  if (named.file !== undefined) return [named.file];
  const path = fileSystem.join(folder, named.index);
  const index = (await readJsonObject(path)) ?? {};
  return [...new Set(weightMap(path, index).map(([, shard]) => shard))];
}

async function openSingle(path: string): Promise<Opened> {
  const file = await SafetensorsFile.open(path, { finite: true });
  return { files: [file], places: new Map(file.tensorNames().map((name) => [name, file])), notes: [] };
}

/** As transformers does, which reads every tensor of every shard that the index names, whatever it says of the tensor. */
async function openShards(folder: string, indexFile: string): Promise<Opened> {
  const path = fileSystem.join(folder, indexFile);
  const index = await readJsonObject(path);
  if (!index) throw new UserError(`cannot read ${path}: it does not exist`);
  const listed = weightMap(path, index);
  const shards = new Map<string, SafetensorsFile>();
  for (const [name, shard] of listed) {
    if (shards.has(shard)) continue;
    const path = fileSystem.join(folder, shard);
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
    places.set(name, shards.get(onlyHolder({ folder, indexFile }, name, holders, listed))!);
  const notes = [
    ...noted([...misplaced], `${indexFile} names another file for`, holders),
    ...noted(unlisted, `${indexFile} does not list`, holders),
  ];
  return { files: [...shards.values()], places, notes };
}

function noted(tensors: readonly string[], how: string, holders: ReadonlyMap<string, readonly string[]>): string[] {
  if (!tensors.length) return [];
  const [first] = tensors;
  const count = tensors.length === 1 ? 'a tensor' : `${tensors.length} tensors`;
  return [`${how} ${count} of its files, which are read all the same: ${first} is in ${holders.get(first)![0]}`];
}

/** The one shard that holds a tensor of which the index does not say so. */
function onlyHolder(
  { folder, indexFile }: { readonly folder: string; readonly indexFile: string },
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
      fileSystem.basename(shard) !== shard ||
      shard.includes('\\')
    )
      throw new UserError(
        `${path}: weight_map of ${name}: expected the name of a file in the folder, found ${shownValue(shard)}`,
      );
    return [name, shard];
  });
}
