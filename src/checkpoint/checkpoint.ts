import { UserError, type WeightSource } from '../engine/index.js';
import { adapterAlone, readAdapterConfig } from './adapter/adapterFiles.js';
import { fileError, systemErrorCode } from './fileError.js';
import { fileSystem } from './files/index.js';
import type { Quantization, StoredInt4 } from './int4/index.js';
import { openQuantizedWeights, type Quantized } from './int4/quantizedWeights.js';
import { readJsonObject, type JsonObject } from './jsonFile.js';
import type { RawTensor, SafetensorsFile } from './safetensorsFile.js';
import type { TensorInfo } from './safetensorsHeader.js';
import { tensorOfSource, type TensorToWrite } from './tensorToWrite.js';
import type { ModelSource, SideFiles } from './modelSource.js';
import { copySideFiles } from './sideFiles.js';
import { loadTokenizer, readTokenizerFiles, type Tokenizer, type TokenizerFiles } from './tokenizer/index.js';
import { openWeightFiles, type WeightFiles } from './weightFiles.js';

/**
 * A model folder in the layout of Hugging Face: `config.json` and safetensors weights, one file or shards. Only the
 * headers are read on opening; a file is opened when its first tensor is read.
 *
 * A weight that is stored as 4-bit integers, in several tensors, counts as one tensor under its name as floats. One of 8
 * bits beside its scales is a tensor of floats.
 */
export class Checkpoint implements ModelSource {
  readonly #names: readonly string[];

  constructor(
    readonly folder: string,
    /** `config.json` as it is. */
    readonly config: JsonObject,
    /** `generation_config.json` as it is, if there is one. */
    readonly generationConfig: JsonObject | undefined,
    private readonly held: WeightFiles,
    private readonly quantized: Quantized,
  ) {
    const first = new Map([...quantized.weights].map(([name, { tensors }]) => [tensors[0], name]));
    const others = new Set([
      ...[...quantized.weights.values()].flatMap(({ tensors }) => tensors.slice(1)),
      ...(quantized.scaled?.parts ?? []),
    ]);
    this.#names = [...held.places.keys()].filter((name) => !others.has(name)).map((name) => first.get(name) ?? name);
  }

  get configPath(): string {
    return fileSystem.join(this.folder, 'config.json');
  }

  /** What was odd about the files, and how it was taken. */
  get notes(): string[] {
    return [...this.held.notes, ...this.quantized.notes];
  }

  /** Other safetensors files of the folder. */
  get unread(): readonly string[] {
    return this.held.unread;
  }

  /** How weights are quantized, if some are. */
  get quantization(): Quantization | undefined {
    return this.quantized.quantization;
  }

  /** Bytes of weight files read so far, headers included. */
  get bytesRead(): number {
    return this.held.files.reduce((sum, file) => sum + file.bytesRead, 0);
  }

  /**
   * Quantized weights whose groups the engine does not have, so that they run as floats, and why. Known once they were
   * asked for.
   */
  get decoded(): { readonly name: string; readonly reason: string }[] {
    return [...this.quantized.weights.values()].flatMap(({ stored: { name, reason } }) =>
      reason === undefined ? [] : [{ name, reason }],
    );
  }

  tensorNames(): string[] {
    return [...this.#names];
  }

  has(name: string): boolean {
    return this.held.places.has(name) || this.quantized.weights.has(name);
  }

  /**
   * Type, shape and bytes of a tensor. A quantized weight has the type of the words that hold it, the weight's own
   * shape, and the bytes of all its tensors.
   */
  info(name: string): TensorInfo {
    const scaled = this.quantized.scaled?.weights.get(name);
    if (scaled) return { ...this.#file(name).info(name), bytes: this.#bytesOf(scaled.tensors) };
    const quantized = this.quantized.weights.get(name);
    if (!quantized) return this.#file(name).info(name);
    const { dtype } = this.#file(quantized.tensors[0]).info(quantized.tensors[0]);
    return { dtype, shape: quantized.stored.shape, bytes: this.#bytesOf(quantized.tensors) };
  }

  /**
   * A tensor of F32, F16 or BF16 as a weight; a quantized weight as float32. UserError for a tensor that is absent or
   * of another dtype.
   */
  source(name: string): WeightSource {
    return (
      this.quantized.scaled?.weights.get(name)?.source ??
      this.quantized.weights.get(name)?.stored.floats() ??
      this.#file(name).source(name)
    );
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
  stored(name: string): TensorToWrite[] {
    const scaled = this.quantized.scaled?.weights.get(name);
    if (scaled) return [tensorOfSource(scaled.source)];
    return (this.quantized.weights.get(name)?.tensors ?? [name]).map((tensor) => this.raw(tensor));
  }

  tokenizerFiles(): Promise<TokenizerFiles | undefined> {
    return readTokenizerFiles(this.folder);
  }

  tokenizer(): Promise<Tokenizer> {
    return loadTokenizer(this.folder);
  }

  async copyAlong(what: SideFiles, folder: string): Promise<string[]> {
    // What is left over of a quantization stays behind.
    if (what === 'quantization' && !this.quantization) return [];
    return copySideFiles(what, this.folder, folder);
  }

  async close(): Promise<void> {
    await Promise.all(this.held.files.map((file) => file.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #bytesOf(tensors: readonly string[]): number {
    return tensors.reduce((sum, tensor) => sum + this.#file(tensor).info(tensor).bytes, 0);
  }

  #file(name: string): SafetensorsFile {
    const file = this.held.places.get(name);
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
  const config = await readJsonObject(fileSystem.join(folder, 'config.json'));
  if (!config) throw await noConfig(folder);
  const generationConfig = await readJsonObject(fileSystem.join(folder, 'generation_config.json'));
  const held = await openWeightFiles(folder);
  try {
    const quantized = await openQuantizedWeights(folder, config, held.places);
    return new Checkpoint(folder, config, generationConfig, held, quantized);
  } catch (error) {
    await Promise.all(held.files.map((file) => file.close()));
    throw error;
  }
}

async function noConfig(folder: string): Promise<UserError> {
  const adapter = await readAdapterConfig(folder);
  if (adapter) return adapterAlone(folder, adapter);
  return new UserError(`${folder} has no config.json`, {
    hint: 'a model folder holds config.json and model.safetensors',
  });
}

async function checkFolder(folder: string): Promise<void> {
  const found = await fileSystem.stat(folder).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw fileError(error, 'cannot open', folder);
    const [, name] = /^(?:hf:)?([\w.-]+\/[\w.-]+)$/.exec(folder) ?? [];
    const hint = name
      ? `a model of the Hugging Face hub is hf:${name} in a command, localModel('hf:${name}') in a program`
      : 'give a folder with config.json and model.safetensors';
    throw new UserError(`there is no folder ${folder}`, { hint });
  });
  if (found.isDirectory()) return;
  const hint =
    fileSystem.extname(folder) === '.gguf'
      ? 'openModel and loadModel take GGUF files'
      : `did you mean its folder, ${fileSystem.dirname(folder)}?`;
  throw new UserError(`${folder} is a file, expected a model folder`, { hint });
}
