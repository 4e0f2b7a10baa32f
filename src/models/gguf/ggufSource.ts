import {
  GgufFile,
  castSource,
  createTokenizer,
  floatType,
  ggufTokenizerFiles,
  rowsOf,
  joinedInt4,
  joinedInt8,
  joinedSource,
  ropeTensors,
  rotaryOrdered,
  rotaryOrderedInt4,
  rotaryOrderedInt8,
  sliceInt4,
  sliceInt8,
  sliceSource,
  tensorOfSource,
  writeTokenizerFiles,
  type JsonObject,
  type ModelSource,
  type PackedWeight,
  type Quantization,
  type RawTensor,
  type SideFiles,
  type StoredTensor,
  type Tokenizer,
  type TokenizerFiles,
} from '../../checkpoint/index.js';
import {
  UserError,
  decodeFloats,
  sizeOf,
  type Int4Source,
  type Int8Source,
  type Shape,
  type WeightSource,
} from '../../engine/index.js';
import { allWeights, type ModelDescription } from '../description.js';
import { recordedDrops } from '../drops.js';
import { describeModel } from '../families/index.js';
import { heldBy } from '../held.js';
import { storedSource } from '../madeWeight.js';
import { isDropped } from '../size.js';
import { fusedGgufName, ggufName, ownNames, type WeightSpec } from '../weights.js';
import { ggufConfig } from './ggufConfig.js';

/** Where a weight lies: rows of a tensor of the file, perhaps in another order. */
interface Place {
  readonly weight: WeightSpec;
  readonly tensor: string;
  /** Rows [from, to), of one expert, or of a tensor that holds several weights. */
  readonly part?: readonly [from: number, to: number];
  /** Of heads whose rows are put back in the order of Hugging Face. */
  readonly headDim?: number;
}

/**
 * As what quantized blocks are read: `integers` where the engine multiplies these and bfloat16 for the rest, which is how
 * models run; or all as floats, of which float32 is what they stand for.
 */
export type Blocks = 'integers' | 'bfloat16' | 'float32';

/**
 * A GGUF file as a model: its tensors by the names of a Hugging Face folder, rows that rotate in the order of one. Blocks
 * are read a few rows at a time.
 */
export class GgufSource implements ModelSource {
  readonly quantization: Quantization | undefined = undefined;
  readonly notes: readonly string[];
  readonly unread: readonly string[] = [];
  readonly decoded: ModelSource['decoded'] = [];

  private constructor(
    private readonly file: GgufFile,
    readonly config: JsonObject,
    /** Of each tensor of the model, the weights that it is made of, one above the other. */
    private readonly places: ReadonlyMap<string, readonly Place[]>,
    private readonly blocks: Blocks,
  ) {
    const [block] = file.tensorNames().filter((name) => !floatType(file.type(name)));
    this.notes =
      blocks === 'bfloat16' && block !== undefined
        ? [
            `its weights were quantized before (${block} is ${file.info(block).dtype}), and are taken as the floats that they stand for`,
          ]
        : [];
  }

  /** UserError for what is wrong in the file, by the file's own names. Reads no weights but those that must be zero. */
  static async open(path: string, blocks: Blocks = 'integers'): Promise<GgufSource> {
    const file = await GgufFile.open(path);
    try {
      const config = await ggufConfig(file);
      const description = describeModel(config, path, heldBy(file));
      checkTensors(file, description);
      await checkDropped(file, description);
      const named = { architectures: [description.conventions.architecture], ...config };
      return new GgufSource(file, named, placesOf(file, description), blocks);
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  get folder(): string {
    return this.file.path;
  }

  get configPath(): string {
    return this.file.path;
  }

  get generationConfig(): JsonObject | undefined {
    return undefined;
  }

  get bytesRead(): number {
    return this.file.bytesRead;
  }

  tensorNames(): string[] {
    return [...this.places.keys()];
  }

  has(name: string): boolean {
    return this.places.has(name);
  }

  info(name: string): StoredTensor {
    const parts = this.#parts(name).map(({ weight, tensor, part }): StoredTensor => {
      const { dtype, shape, bytes } = this.file.info(tensor);
      if (!part) return { dtype, shape: weight.shape, bytes };
      const rows = part[1] - part[0];
      return { dtype, shape: [rows, ...shape.slice(-1)], bytes: (bytes * rows) / sizeOf(shape.slice(0, -1)) };
    });
    const [{ dtype, shape }] = parts;
    const sum = (of: (part: StoredTensor) => number): number => parts.reduce((all, part) => all + of(part), 0);
    const joined = parts.length > 1 ? [sum((part) => part.shape[0]), ...shape.slice(1)] : shape;
    return { dtype, shape: joined, bytes: sum(({ bytes }) => bytes) };
  }

  source(name: string): WeightSource {
    const parts = this.#parts(name).map(({ weight, tensor, part, headDim }) => {
      const stored = this.file.source(tensor);
      const own = part ? sliceSource(stored, ...part, name) : { ...stored, shape: weight.shape };
      const ordered = headDim === undefined ? own : rotaryOrdered(own, headDim, 'halves');
      const held =
        this.blocks === 'float32' || floatType(this.file.type(tensor)) ? ordered : castSource(ordered, 'bfloat16');
      return storedSource(held, weight);
    });
    return parts.length > 1 ? joinedSource(parts, name) : { ...parts[0], name };
  }

  int4(name: string): PackedWeight | undefined {
    if (this.blocks !== 'integers') return undefined;
    const parts = this.#parts(name).flatMap(({ weight, tensor, part, headDim }) => {
      const stored = weight.made ? undefined : this.file.int4(tensor);
      if (!stored) return [];
      const own = part ? sliceInt4(stored, ...part, name) : { ...stored, name };
      return headDim === undefined ? [own] : [rotaryOrderedInt4(own, headDim, 'halves')];
    });
    if (parts.length < this.#parts(name).length) return undefined;
    const joined = parts.length > 1 ? joinedInt4(parts, name) : parts[0];
    return joined && new BlockWeight(joined);
  }

  int8(name: string): Int8Source | undefined {
    if (this.blocks !== 'integers') return undefined;
    const parts = this.#parts(name).flatMap(({ weight, tensor, part, headDim }) => {
      const stored = weight.made ? undefined : this.file.int8(tensor);
      if (!stored) return [];
      const own = part ? sliceInt8(stored, ...part, name) : { ...stored, name };
      return [headDim === undefined ? own : rotaryOrderedInt8(own, headDim, 'halves')];
    });
    if (parts.length < this.#parts(name).length) return undefined;
    return parts.length > 1 ? joinedInt8(parts, name) : parts[0];
  }

  stored(name: string): RawTensor[] {
    return [tensorOfSource(this.source(name), name)];
  }

  async tokenizerFiles(): Promise<TokenizerFiles | undefined> {
    return ggufTokenizerFiles(this.file);
  }

  async tokenizer(): Promise<Tokenizer> {
    const files = ggufTokenizerFiles(this.file);
    if (!files) throw new UserError(`${this.folder} has no tokenizer`, { hint: 'it takes token ids only' });
    return createTokenizer(files);
  }

  async copyAlong(what: SideFiles, folder: string): Promise<string[]> {
    const files = what === 'tokenizer' ? ggufTokenizerFiles(this.file) : undefined;
    return files ? writeTokenizerFiles(files, folder) : [];
  }

  close(): Promise<void> {
    return this.file[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #parts(name: string): readonly Place[] {
    const parts = this.places.get(name);
    if (!parts) throw new UserError(`${this.folder} has no tensor for ${name}`);
    return parts;
  }
}

/** Blocks of 4 bits, which are in the engine's groups as they are. */
class BlockWeight implements PackedWeight {
  readonly reason = undefined;

  constructor(private readonly source: Int4Source) {}

  get fileGroup(): number {
    return this.source.format.groupSize;
  }

  named(name: string): PackedWeight {
    return new BlockWeight({ ...this.source, name });
  }

  async int4(): Promise<Int4Source> {
    return this.source;
  }
}

/** Under the names of the family's own files, which may hold several weights in one tensor. */
function placesOf(file: GgufFile, description: ModelDescription): Map<string, Place[]> {
  const drops = recordedDrops(description.config);
  const places = new Map<string, Place[]>();
  for (const weight of allWeights(description)) {
    const fused = fusedGgufName(weight);
    const tensor = fused ?? ggufName(weight);
    if (isDropped(drops, weight) || !file.has(tensor)) continue;
    const headDim = headSize(description, weight);
    const form = fused === undefined ? undefined : weight.forms.find(({ gguf }) => gguf)!;
    const rows = weight.use === 'experts' ? weight.shape[1] : undefined;
    for (const [expert, name] of ownNames(weight).entries()) {
      const part = rows === undefined ? form && [form.from, form.to] : [expert * rows, (expert + 1) * rows];
      const place: Place = { weight, tensor, headDim, part: part as Place['part'] };
      places.set(name, [...(places.get(name) ?? []), place]);
    }
  }
  return places;
}

/** Of rows that rotate, where a converter put them in pairs. */
const headSize = ({ layers, conventions }: ModelDescription, weight: WeightSpec): number | undefined =>
  weight.rotates && conventions.gguf.rotaryPairs ? layers[weight.layer!].attention.headDim : undefined;

/** Holds the file's tensors against what its metadata say: one that is missing, another than said, or not known is refused. */
function checkTensors(file: GgufFile, description: ModelDescription): void {
  const drops = recordedDrops(description.config);
  const fail = (problem: string, hint?: string): never => {
    throw new UserError(`${file.path}: ${problem}`, { hint });
  };
  const known = new Set<string>(ropeTensors);
  const missing: { name: string; shape: Shape }[] = [];
  const weights = allWeights(description);
  const fusedRows = (name: string): number =>
    Math.max(
      ...weights.flatMap(({ forms, layer }) =>
        fusedGgufName({ forms, layer }) === name ? forms.map(({ to }) => to) : [],
      ),
    );
  for (const weight of weights) {
    const fused = fusedGgufName(weight);
    const name = fused ?? ggufName(weight);
    if (known.has(name)) continue;
    known.add(name);
    if (isDropped(drops, weight)) continue;
    const shape = fused === undefined ? weight.shape : [fusedRows(fused), ...weight.shape.slice(1)];
    if (!file.has(name)) missing.push({ name, shape });
    else if (sizesOf(file.info(name).shape) !== sizesOf(shape))
      fail(`tensor ${name} is [${file.info(name).shape.join(',')}], but its metadata say [${shape.join(',')}]`);
  }
  if (missing.length) {
    const more = missing.length > 1 ? `, and ${missing.length - 1} more are` : '';
    fail(`tensor ${missing[0].name} [${missing[0].shape.join(',')}] is missing${more}`, 'is the download complete?');
  }
  const extra = file.tensorNames().find((name) => !known.has(name));
  if (extra !== undefined)
    fail(
      `tensor ${extra} [${file.info(extra).shape.join(',')}] is none of this architecture's, so it would be ignored`,
    );
}

/** A shape as files say it, without leading sizes of 1: for ggml [1, 256] and [256] are the same. */
const sizesOf = (shape: Shape): string => shape.join().replace(/^(1,)+/, '');

/** What stands for a dropped module must add nothing. */
async function checkDropped(file: GgufFile, description: ModelDescription): Promise<void> {
  const drops = recordedDrops(description.config);
  for (const weight of allWeights(description)) {
    const name = ggufName(weight);
    const adds = (weight.of ?? weight.role) === 'output';
    if (adds && isDropped(drops, weight) && file.has(name))
      if (!(await isZero(file.source(name))))
        throw new UserError(
          `${file.path}: tensor ${name} [${file.info(name).shape.join(',')}] should be zero, since its layer has a narrower module than others`,
          { hint: 'layers of several sizes are not supported' },
        );
  }
}

async function isZero(source: WeightSource): Promise<boolean> {
  const step = Math.max(1, Math.floor((1 << 20) / source.shape[source.shape.length - 1]));
  for (let row = 0; row < rowsOf(source); row += step) {
    const bytes = await source.readRows(row, Math.min(row + step, rowsOf(source)));
    if (decodeFloats(bytes, source.dtype).some((value) => value !== 0)) return false;
  }
  return true;
}
