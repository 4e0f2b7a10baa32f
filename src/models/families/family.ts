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
   * What keys of `config.json` mean that are absent, as transformers' class of this type has them: all that `describe` asks
   * for and the class has a value for. Ids of tokens are not here: the tokenizer knows them.
   */
  readonly defaults: JsonObject;
  /** Keys that are its own to vary, beside the sizes that all families have: for experiments on random models. */
  readonly varies: readonly (keyof ModelConfig)[];
  /** `general.architecture` of the GGUF files that it reads, with experts or without. */
  readonly gguf: {
    readonly architectures: readonly string[];
    readonly experts?: boolean;
    /** Keys of `config.json` beside those that all families have, of the file's own and of what it does not say. */
    readonly keys?: (file: GgufKeys) => JsonObject;
  };
  describe(config: ConfigReader): ModelDescription;
}
