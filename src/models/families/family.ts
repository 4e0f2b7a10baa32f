import type { ConfigReader } from '../configReader.js';
import type { ModelDescription } from '../description.js';

/** A kind of model: what its `config.json` means. */
export interface Family {
  /** `model_type` of the configs that it reads. */
  readonly types: readonly string[];
  /** `general.architecture` of the GGUF files that it reads, with experts or without. */
  readonly gguf: { readonly architectures: readonly string[]; readonly experts?: boolean };
  describe(config: ConfigReader): ModelDescription;
}
