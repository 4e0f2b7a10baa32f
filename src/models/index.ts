/** Model families on the engine, with skip flags on every attention and every MLP. */
export { completeConfig, rawConfig, type ModelConfig, type PartialConfig } from './config.js';
export type { InputEvent, Observer, SubLayerEvent } from './context.js';
export {
  allWeights,
  expertCount,
  globalWeights,
  hasExperts,
  isLlamaLike,
  layerWeights,
  modulesOf,
  outputWeight,
  type AttentionDescription,
  type GatedMlpDescription,
  type LayerDescription,
  type MixtureDescription,
  type MlpDescription,
  type ModelDescription,
  type ModuleDescription,
} from './description.js';
export { checkedIndices, parseDropList, recordedDrops, type Drops } from './drops.js';
export {
  describeConfig,
  describeModel,
  families,
  familyOf,
  ggufFamily,
  modelTypes,
  type Family,
} from './families/index.js';
export { fewerExperts, type ExpertDrops } from './fewerExperts.js';
export { madeSource } from './madeWeight.js';
export { chatPrompt, chatTurn, type ChatTurnOptions } from './chatTurn.js';
export { dropKeys } from './gguf/ggufConfig.js';
export { llama3Scaling } from './gguf/ggufRope.js';
export { GgufSource, type Blocks } from './gguf/ggufSource.js';
export { generate, type GenerateOptions, type Generation } from './generate.js';
export { generateText, stopTokensOf, type GeneratedText, type GenerateTextOptions } from './generateText.js';
export type { Layer } from './layer.js';
export { LoadedModel, createModel, loadModel, type LoadOptions } from './loadModel.js';
export { isFiniteStream, moduleNotFinite, notFinite, type Entering } from './notFinite.js';
export {
  addressableBytes,
  defaultMaxMemory,
  fitsMemory,
  memoryNeeds,
  memoryOption,
  type MemoryLimit,
  type MemoryNeeds,
} from './memoryNeeds.js';
export { moduleNames, type ModuleNames } from './moduleNames.js';
export { Model, type PassOptions } from './model.js';
export { examineSource, openModel, type AdapterOptions, type OpenModelOptions, type OpenedModel } from './openModel.js';
export { tensorWords } from './checkWeights.js';
export { openSource } from './openSource.js';
export {
  computedSource,
  holdsWeight,
  isStoredInt4,
  packedSource,
  randomParameters,
  storedInt4,
  storedInt8,
  storedNames,
  weightSource,
  withQuantizer,
  type Parameters,
  type Quantize,
} from './parameters.js';
export { hash, normalNumbers, seedOption, uniform } from './random.js';
export { rawRope, ropeFrequencies, type RopeParameters } from './rope.js';
export { isDropped, modelSize, stayingTensors, type ModelSize } from './size.js';
export { TokenCache } from './tokenCache.js';
export { checkedTokens, contextOf, sharedLength } from './tokens.js';
export { createSampler, type Sampler, type SamplingOptions } from './sampling.js';
export {
  biasOf,
  byTensor,
  fusedGgufName,
  fusedNames,
  ggufName,
  isLinear,
  isProjection,
  isTable,
  matrixRole,
  moduleKinds,
  moduleWord,
  ownForm,
  ownNames,
  tensorName,
  tensorNames,
  tensorPlaces,
  theWeight,
  withRole,
  type FusedForm,
  type ModuleKind,
  type Place,
  type WeightRole,
  type WeightSpec,
} from './weights.js';
