/** Model families on the engine, with skip flags on every attention and every MLP. */
export { completeConfig, parseConfig, type ModelConfig, type PartialConfig } from './config.js';
export type { InputEvent, Observer, SubLayerEvent } from './context.js';
export { checkedIndices, parseDropList } from './dropLists.js';
export { families, familyOf, modelTypes } from './families.js';
export type { Family } from './family.js';
export { generate, type GenerateOptions, type Generation } from './generate.js';
export type { Layer } from './layer.js';
export { LoadedModel, createModel, loadModel, type LoadOptions } from './loadModel.js';
export {
  addressableBytes,
  defaultMaxMemory,
  fitsMemory,
  memoryNeeds,
  type MemoryLimit,
  type MemoryNeeds,
} from './memoryNeeds.js';
export { Model, type Drops, type PassOptions } from './model.js';
export { packedSource, storedInt4, weightSource, withQuantizer, type Parameters, type Quantize } from './parameters.js';
export { hash, normalNumbers, uniform } from './random.js';
export { ropeFrequencies, type RopeParameters } from './rope.js';
export { isDropped, modelSize, type ModelSize } from './size.js';
export { createSampler, type Sampler, type SamplingOptions } from './sampling.js';
export {
  globalSpecs,
  moduleSpecs,
  placeOf,
  tensorNames,
  type ModuleKind,
  type Place,
  type WeightSpec,
} from './weightMap.js';
