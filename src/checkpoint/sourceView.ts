import type { Int8Source, Shape, WeightDType, WeightSource } from '../engine/index.js';
import type { PackedWeight, Quantization } from './int4/index.js';
import type { JsonObject } from './jsonFile.js';
import type { ModelSource, SideFiles, StoredTensor } from './modelSource.js';
import { tensorBytes, tensorOfSource, type TensorToWrite } from './tensorToWrite.js';
import type { Tokenizer, TokenizerFiles } from './tokenizer/index.js';

/** How a view differs from its source. */
export interface SourceChanges {
  /** The source's name of each tensor that is called otherwise. */
  readonly names?: ReadonlyMap<string, string>;
  /** Tensors that the view does not have, by the view's names. */
  readonly without?: ReadonlySet<string>;
  /** Tensors that hold other floats in the view, by the view's names. Each call gives a source of its own, as files do. */
  readonly replaced?: ReadonlyMap<string, () => WeightSource>;
  readonly config?: JsonObject;
}

/**
 * A source whose tensors are called otherwise, that lacks some of them or holds others; nothing is copied. Closing it closes
 * the source.
 */
export class SourceView implements ModelSource {
  readonly config: JsonObject;
  readonly #source: ModelSource;
  /** The source's names by ours, and ours by the source's. */
  readonly #theirs: ReadonlyMap<string, string>;
  readonly #ours: ReadonlyMap<string, string>;
  readonly #without: ReadonlySet<string>;
  readonly #replaced: ReadonlyMap<string, () => WeightSource>;

  constructor(source: ModelSource, changes: SourceChanges) {
    const { names = new Map(), without = new Set(), replaced = new Map(), config = source.config } = changes;
    this.#source = source;
    this.config = config;
    this.#replaced = replaced;
    this.#theirs = names;
    this.#ours = new Map([...names].map(([ours, theirs]) => [theirs, ours]));
    this.#without = without;
  }

  get folder(): string {
    return this.#source.folder;
  }

  get configPath(): string {
    return this.#source.configPath;
  }

  get generationConfig(): JsonObject | undefined {
    return this.#source.generationConfig;
  }

  get quantization(): Quantization | undefined {
    return this.#source.quantization;
  }

  get notes(): readonly string[] {
    return this.#source.notes;
  }

  get unread(): readonly string[] {
    return this.#source.unread;
  }

  get bytesRead(): number {
    return this.#source.bytesRead;
  }

  get decoded(): ModelSource['decoded'] {
    return this.#source.decoded.map(({ name, reason }) => ({ name: this.#ours.get(name) ?? name, reason }));
  }

  tensorNames(): string[] {
    const names = this.#source.tensorNames().map((name) => this.#ours.get(name) ?? name);
    return names.filter((name) => !this.#without.has(name));
  }

  has(name: string): boolean {
    return !this.#without.has(name) && this.#source.has(this.#theirName(name));
  }

  info(name: string): StoredTensor {
    const replaced = this.#replaced.get(name);
    if (replaced) {
      const { dtype, shape } = tensorOfSource(replaced());
      return { dtype, shape, bytes: tensorBytes({ dtype, shape }) };
    }
    return this.#source.info(this.#theirName(name));
  }

  source(name: string): WeightSource {
    const replaced = this.#replaced.get(name);
    if (replaced) return replaced();
    const theirs = this.#theirName(name);
    const source = this.#source.source(theirs);
    return theirs === name ? source : new NamedSource(name, source);
  }

  int4(name: string): PackedWeight | undefined {
    if (this.#replaced.has(name)) return undefined;
    const theirs = this.#theirName(name);
    const stored = this.#source.int4(theirs);
    return theirs === name ? stored : stored?.named(name);
  }

  int8(name: string): Int8Source | undefined {
    if (this.#replaced.has(name)) return undefined;
    const stored = this.#source.int8?.(this.#theirName(name));
    return stored && { ...stored, name };
  }

  stored(name: string): TensorToWrite[] {
    const replaced = this.#replaced.get(name);
    if (replaced) return [tensorOfSource(replaced(), name)];
    const theirs = this.#theirName(name);
    const tensors = this.#source.stored(theirs);
    if (theirs === name) return tensors;
    // A quantized weight is in tensors of its own: X.qweight, X.scales ...
    const [ourModule, theirModule] = [moduleOf(name), moduleOf(theirs)];
    return tensors.map((tensor) => ({
      ...tensor,
      name: tensor.name === theirs ? name : `${ourModule}${tensor.name.slice(theirModule.length)}`,
    }));
  }

  tokenizerFiles(): Promise<TokenizerFiles | undefined> {
    return this.#source.tokenizerFiles();
  }

  tokenizer(): Promise<Tokenizer> {
    return this.#source.tokenizer();
  }

  copyAlong(what: SideFiles, folder: string): Promise<string[]> {
    return this.#source.copyAlong(what, folder);
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #theirName(name: string): string {
    const theirs = this.#theirs.get(name);
    if (theirs !== undefined) return theirs;
    // A name that is another tensor's now is none of ours.
    return this.#ours.has(name) ? `${name} (called ${this.#ours.get(name)} here)` : name;
  }
}

const moduleOf = (tensor: string): string => tensor.replace(/[^.]*$/, '');

/** A source under another name. */
class NamedSource implements WeightSource {
  readonly shape: Shape;
  readonly dtype: WeightDType;

  constructor(
    readonly name: string,
    private readonly source: WeightSource,
  ) {
    ({ shape: this.shape, dtype: this.dtype } = source);
  }

  /** A property, as that of a file's tensors, so that `{ ...source, name }` has it. */
  readonly readRows: WeightSource['readRows'] = (start, end) => this.source.readRows(start, end);

  /** A method, as that of a file's tensors: see there. */
  async readInto(start: number, end: number, into: Uint8Array): Promise<void> {
    if (this.source.readInto) await this.source.readInto(start, end, into);
    else into.set(await this.source.readRows(start, end));
  }
}
