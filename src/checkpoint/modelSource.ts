import type { Int8Source, WeightSource, Shape } from '../engine/index.js';
import type { PackedWeight, Quantization } from './int4/index.js';
import type { JsonObject } from './jsonFile.js';
import type { TensorToWrite } from './tensorToWrite.js';
import type { Tokenizer, TokenizerFiles } from './tokenizer/index.js';

/** What stands beside a model's weights and may go along with them: see `copyAlong`. */
export type SideFiles =
  /** The tokenizer and its settings, the template of chats, the settings of generation. */
  | 'tokenizer'
  /** How weights are quantized, as older programs say it beside the config. */
  | 'quantization'
  /** How the model was dropped, and the code that `auto_map` of the config names. */
  | 'drops';

/** What is known of a tensor without reading it. */
export interface StoredTensor {
  /** As the file names its type. */
  readonly dtype: string;
  readonly shape: Shape;
  readonly bytes: number;
}

/**
 * Where a model comes from: a folder as Hugging Face has it (`Checkpoint`), or another format. Tensors go by the names
 * that they have in a Hugging Face folder. Nothing of the weights is read before it is asked for.
 */
export interface ModelSource extends AsyncDisposable {
  /** Where it lies, for messages. */
  readonly folder: string;
  /** The file that says what the model is, for messages. */
  readonly configPath: string;
  /** What the model is, under the keys of `config.json`; `drop_attn_list` and `drop_mlp_list` say what it lacks. */
  readonly config: JsonObject;
  /** The settings of generation, if there are any. */
  readonly generationConfig: JsonObject | undefined;
  /** How weights are quantized, if they are. */
  readonly quantization: Quantization | undefined;
  /** What was odd about the files, and how it was taken: a sentence each. */
  readonly notes: readonly string[];
  /** Files of weights that lie beside and are not read: where a tensor is missing, they may hold it. */
  readonly unread: readonly string[];
  /** Bytes of weights read so far. */
  readonly bytesRead: number;
  /** Quantized weights that turned out to fit no groups of the engine, so that they run as floats, and why. */
  readonly decoded: readonly { readonly name: string; readonly reason: string }[];

  tensorNames(): string[];
  has(name: string): boolean;
  info(name: string): StoredTensor;
  /** A tensor as floats, also of a weight that is stored as integers. UserError where it is absent or of another kind. */
  source(name: string): WeightSource;
  /** The integers of a weight that is stored as such. */
  int4(name: string): PackedWeight | undefined;
  /** The same of up to 8 bits; absent where a format holds none. */
  int8?(name: string): Int8Source | undefined;
  /** All tensors that hold a weight, as bytes. */
  stored(name: string): TensorToWrite[];

  /** What is known of the tokenizer; undefined where there is none. */
  tokenizerFiles(): Promise<TokenizerFiles | undefined>;
  /** UserError where there is none, or none that can be used. */
  tokenizer(): Promise<Tokenizer>;
  /** Copies files into a folder; gives the names of those that are there. */
  copyAlong(what: SideFiles, folder: string): Promise<string[]>;
  close(): Promise<void>;
}
