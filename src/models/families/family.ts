import type { JsonObject } from '../../checkpoint/index.js';
import type { ModelConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import type { ModelDescription } from '../description.js';
import type { GgufKeys } from '../gguf/ggufKeys.js';

/** A kind of model: what its `config.json` means. */
export interface Family {
  /** `model_type` of the configs that it reads. */
  readonly types: readonly string[];
  /**
   * Multimodal models whose text model it is: `model_type` of configs that hold one of these as their `text_config`, and what
   * the names of its tensors begin with there, and in a model of text alone.
   */
  readonly within?: { readonly types: readonly string[]; readonly prefixes: Readonly<Record<string, string>> };
  /**
   * What keys of `config.json` mean that are absent, as transformers' class of this type has them: all that `describe` asks
   * for and the class has a value for. Ids of tokens are not here: the tokenizer knows them.
   */
  readonly defaults: JsonObject;
  /** Keys that are its own to vary, beside the sizes that all families have: for experiments on random models. */
  readonly varies: readonly (keyof ModelConfig)[];
  /** Keys of `config.json` that a small random model says otherwise than by their defaults. */
  readonly ownKeys?: (config: Pick<ModelConfig, 'headDim'>) => JsonObject;
  /** `general.architecture` of the GGUF files that it reads, with experts or without. */
  readonly gguf: {
    readonly architectures: readonly string[];
    readonly experts?: boolean;
    /** Keys of `config.json` beside those that all families have, of the file's own and of what it does not say. */
    readonly keys?: (file: GgufKeys) => JsonObject;
  };
  describe(config: ConfigReader): ModelDescription;
}
