import { access, readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { UserError, type WeightSource } from '../engine/index.js';
import { fileError, systemErrorCode } from './fileError.js';
import type { Quantization, StoredInt4 } from './int4/index.js';
import { openQuantizedWeights, readQuantization, type QuantizedWeight } from './int4/quantizedWeights.js';
import { isJsonObject, readJsonObject, type JsonObject } from './jsonFile.js';
import { SafetensorsFile, type RawTensor } from './safetensorsFile.js';
import type { TensorInfo } from './safetensorsHeader.js';
import { indexFile, singleFile } from './shards.js';
import type { ModelSource, SideFiles } from './modelSource.js';
import { copySideFiles } from './sideFiles.js';
import { loadTokenizer, type Tokenizer } from './tokenizer/index.js';

/** Weights of 4-bit integers, by the names that they would have as floats. */
interface Quantized {
  readonly quantization?: Quantization;
  readonly weights: ReadonlyMap<string, QuantizedWeight>;
}

/**
 * A model folder in the layout of Hugging Face: `config.json` and safetensors weights, one file or shards. Only the
 * headers are read on opening; a file is opened when its first tensor is read.
 *
 * A weight that is stored as 4-bit integers, in several tensors, counts as one tensor under its name as floats.
 */
export class Checkpoint implements ModelSource {
  readonly #names: readonly string[];

  constructor(
    readonly folder: string,
    /** `config.json` as it is. */
    readonly config: JsonObject,
    /** `generation_config.json` as it is, if there is one. */
    readonly generationConfig: JsonObject | undefined,
    private readonly files: readonly SafetensorsFile[],
    /** The file that holds each tensor. */
    private readonly places: ReadonlyMap<string, SafetensorsFile>,
    private readonly quantized: Quantized = { weights: new Map() },
  ) {
    const first = new Map([...quantized.weights].map(([name, { tensors }]) => [tensors[0], name]));
    const others = new Set([...quantized.weights.values()].flatMap(({ tensors }) => tensors.slice(1)));
    this.#names = [...places.keys()].filter((name) => !others.has(name)).map((name) => first.get(name) ?? name);
  }

  /** How weights are quantized, if the config says that they are. */
  get quantization(): Quantization | undefined {
    return this.quantized.quantization;
  }

  /** Bytes of weight files read so far, headers included. */
  get bytesRead(): number {
    return this.files.reduce((sum, file) => sum + file.bytesRead, 0);
  }

  /** Quantized weights that were found to fit no groups of the engine, so that they run as floats, and why. */
  get decoded(): { readonly name: string; readonly reason: string }[] {
    return [...this.quantized.weights.values()].flatMap(({ stored: { name, reason } }) =>
      reason === undefined ? [] : [{ name, reason }],
    );
  }

  tensorNames(): string[] {
    return [...this.#names];
  }

  has(name: string): boolean {
    return this.places.has(name) || this.quantized.weights.has(name);
  }

  /** Of a quantized weight: the type of the words that hold it, its own shape, and the bytes of all its tensors. */
  info(name: string): TensorInfo {
    const quantized = this.quantized.weights.get(name);
    if (!quantized) return this.#file(name).info(name);
    const infos = quantized.tensors.map((tensor) => this.#file(tensor).info(tensor));
    const bytes = infos.reduce((sum, info) => sum + info.bytes, 0);
    return { dtype: infos[0].dtype, shape: quantized.stored.shape, bytes };
  }

  /**
   * A tensor of F32, F16 or BF16 as a weight, or what a quantized one stands for, in float32. UserError for a tensor
   * that is absent or of another dtype.
   */
  source(name: string): WeightSource {
    return this.quantized.weights.get(name)?.stored.floats() ?? this.#file(name).source(name);
  }

  /** A weight as the 4-bit integers that are stored; undefined where floats are. */
  int4(name: string): StoredInt4 | undefined {
    return this.quantized.weights.get(name)?.stored;
  }

  /** Any tensor of a file as bytes. */
  raw(name: string): RawTensor {
    return this.#file(name).raw(name);
  }

  /** All tensors that hold a weight, as bytes: what the writer copies. */
  stored(name: string): RawTensor[] {
    return (this.quantized.weights.get(name)?.tensors ?? [name]).map((tensor) => this.raw(tensor));
  }

  tokenizer(): Promise<Tokenizer> {
    return loadTokenizer(this.folder);
  }

  copyAlong(what: SideFiles, folder: string): Promise<string[]> {
    return copySideFiles(what, this.folder, folder);
  }

  async close(): Promise<void> {
    await Promise.all(this.files.map((file) => file.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #file(name: string): SafetensorsFile {
    const file = this.places.get(name);
    if (!file)
      throw new UserError(`${this.folder} has no tensor ${name}`, {
        hint: `it has ${this.#names.length} tensors, such as ${this.#names.slice(0, 2).join(' and ') || 'none'}`,
      });
    return file;
  }
}

/** Opens a model folder. Everything missing, contradictory or unreadable in it is a UserError. */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  await checkFolder(folder);
  const config = await readJsonObject(join(folder, 'config.json'));
  if (!config)
    throw new UserError(`${folder} has no config.json`, {
      hint: 'a model folder holds config.json and model.safetensors',
    });
  const generationConfig = await readJsonObject(join(folder, 'generation_config.json'));
  const { files, places } = (await exists(join(folder, singleFile)))
    ? await openSingle(folder)
    : await openShards(folder);
  try {
    const quantization = await readQuantization(folder, config);
    const weights = quantization ? await openQuantizedWeights(quantization, folder, places) : new Map<string, never>();
    return new Checkpoint(folder, config, generationConfig, files, places, { quantization, weights });
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw fileError(error, 'cannot open', folder);
    const hint = /^[\w.-]+\/[\w.-]+$/.test(folder)
      ? 'a model is a local folder; download it from Hugging Face first'
      : 'give a folder with config.json and model.safetensors';
    throw new UserError(`there is no folder ${folder}`, { hint });
  });
  if (found.isDirectory()) return;
  const hint =
    extname(folder) === '.gguf'
      ? 'GGUF files are not read; give the Hugging Face folder of the model'
      : `did you mean its folder, ${dirname(folder)}?`;
  throw new UserError(`${folder} is a file, expected a model folder`, { hint });
}

type Weights = { files: SafetensorsFile[]; places: Map<string, SafetensorsFile> };

async function openSingle(folder: string): Promise<Weights> {
  const file = await SafetensorsFile.open(join(folder, singleFile));
  return { files: [file], places: new Map(file.tensorNames().map((name) => [name, file])) };
}

async function openShards(folder: string): Promise<Weights> {
  const index = await readJsonObject(join(folder, indexFile));
  if (!index) throw await noWeights(folder);
  const files = new Map<string, SafetensorsFile>();
  const places: Weights['places'] = new Map();
  for (const [name, shard] of weightMap(join(folder, indexFile), index)) {
    let file = files.get(shard);
    if (!file) {
      const path = join(folder, shard);
      if (!(await exists(path)))
        throw new UserError(`${folder}: ${shard} is missing, but ${indexFile} names it for ${name}`, {
          hint: 'is the download complete?',
        });
      files.set(shard, (file = await SafetensorsFile.open(path)));
    }
    if (!file.has(name))
      throw new UserError(`${folder}: ${indexFile} places ${name} in ${shard}, which does not hold it`);
    places.set(name, file);
  }
  return { files: [...files.values()], places };
}

function weightMap(path: string, index: JsonObject): [tensor: string, shard: string][] {
  const map = index.weight_map;
  if (!isJsonObject(map) || !Object.keys(map).length)
    throw new UserError(
      `${path}: expected a weight_map of tensor names to files, found ${JSON.stringify(map)?.slice(0, 60) ?? 'none'}`,
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
        `${path}: weight_map of ${name}: expected the name of a file in the folder, found ${JSON.stringify(shard)}`,
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
