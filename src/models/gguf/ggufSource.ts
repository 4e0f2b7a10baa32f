import {
  GgufFile,
  castSource,
  createTokenizer,
  floatType,
  ggufTokenizerFiles,
  rowsOf,
  ropeDivisorsTensor,
  rotaryOrdered,
  rotaryOrderedInt4,
  sliceInt4,
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
import { UserError, decodeFloats, sizeOf, type Int4Source, type WeightSource } from '../../engine/index.js';
import { allWeights, type ModelDescription } from '../description.js';
import { recordedDrops } from '../drops.js';
import { describeModel } from '../families/index.js';
import { heldBy } from '../held.js';
import { isDropped } from '../size.js';
import { ggufName, tensorNames, type WeightSpec } from '../weights.js';
import { ggufConfig } from './ggufConfig.js';

/** Where a tensor of the model lies: rows of a tensor of the file, perhaps in another order. */
interface Place {
  readonly tensor: string;
  /** Rows [from, to), of one expert. */
  readonly part?: readonly [from: number, to: number];
  /** Of heads whose rows are put back in the order of Hugging Face. */
  readonly headDim?: number;
}

/**
 * A GGUF file as a model: its tensors by the names of a Hugging Face folder, rows that rotate in the order of one. Blocks
 * are integers where the engine multiplies these, else bfloat16, a few rows at a time.
 */
export class GgufSource implements ModelSource {
  readonly quantization: Quantization | undefined = undefined;
  readonly notes: readonly string[] = [];
  readonly unread: readonly string[] = [];
  readonly decoded: ModelSource['decoded'] = [];

  private constructor(
    private readonly file: GgufFile,
    readonly config: JsonObject,
    private readonly places: ReadonlyMap<string, Place>,
    private readonly exact: boolean,
  ) {}

  /**
   * UserError for what is wrong in the file, by the file's own names. Reads no weights but those that must be zero. With
   * `exact` all blocks are the float32 that they stand for.
   */
  static async open(path: string, exact = false): Promise<GgufSource> {
    const file = await GgufFile.open(path);
    try {
      const config = await ggufConfig(file);
      const description = describeModel(config, path, heldBy(file));
      checkTensors(file, description);
      await checkDropped(file, description);
      const named = { architectures: [description.conventions.architecture], ...config };
      return new GgufSource(file, named, placesOf(file, description), exact);
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
    const { tensor, part } = this.#place(name);
    const { dtype, shape, bytes } = this.file.info(tensor);
    if (!part) return { dtype, shape, bytes };
    const rows = part[1] - part[0];
    return { dtype, shape: [rows, ...shape.slice(-1)], bytes: (bytes * rows) / sizeOf(shape.slice(0, -1)) };
  }

  source(name: string): WeightSource {
    const { tensor, part, headDim } = this.#place(name);
    const stored = this.file.source(tensor);
    const ordered = headDim === undefined ? stored : rotaryOrdered(stored, headDim, 'halves');
    const held = this.exact || floatType(this.file.type(tensor)) ? ordered : castSource(ordered, 'bfloat16');
    return part ? sliceSource(held, ...part, name) : { ...held, name };
  }

  int4(name: string): PackedWeight | undefined {
    const { tensor, part, headDim } = this.#place(name);
    const stored = this.exact ? undefined : this.file.int4(tensor);
    if (!stored) return undefined;
    const ordered = headDim === undefined ? stored : rotaryOrderedInt4(stored, headDim, 'halves')!;
    return new BlockWeight(part ? sliceInt4(ordered, ...part, name) : { ...ordered, name });
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

  #place(name: string): Place {
    const place = this.places.get(name);
    if (!place) throw new UserError(`${this.folder} has no tensor for ${name}`);
    return place;
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

function placesOf(file: GgufFile, description: ModelDescription): Map<string, Place> {
  const drops = recordedDrops(description.config);
  const places = new Map<string, Place>();
  for (const weight of allWeights(description)) {
    const tensor = ggufName(weight);
    if (isDropped(drops, weight) || !file.has(tensor)) continue;
    const headDim = headSize(description, weight);
    const rows = weight.use === 'experts' ? weight.shape[1] : undefined;
    for (const [expert, name] of tensorNames(weight).entries())
      places.set(name, {
        tensor,
        headDim,
        part: rows === undefined ? undefined : [expert * rows, (expert + 1) * rows],
      });
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
  const known = new Set([ropeDivisorsTensor]);
  const missing: WeightSpec[] = [];
  for (const weight of allWeights(description)) {
    const name = ggufName(weight);
    known.add(name);
    if (isDropped(drops, weight)) continue;
    if (!file.has(name)) missing.push(weight);
    else if (file.info(name).shape.join() !== weight.shape.join())
      fail(`tensor ${name} is [${file.info(name).shape.join(',')}], but its metadata say [${weight.shape.join(',')}]`);
  }
  if (missing.length) {
    const more = missing.length > 1 ? `, and ${missing.length - 1} more are` : '';
    fail(
      `tensor ${ggufName(missing[0])} [${missing[0].shape.join(',')}] is missing${more}`,
      'is the download complete?',
    );
  }
  const extra = file.tensorNames().find((name) => !known.has(name));
  if (extra !== undefined)
    fail(
      `tensor ${extra} [${file.info(extra).shape.join(',')}] is none of this architecture's, so it would be ignored`,
    );
}

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
