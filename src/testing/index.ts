/** fast-check arbitraries for property tests over engines and models. Needs the `fast-check` package. */
export { dropSets, keepLists } from './dropSets.js';
export { modelConfigs, modelSpecs, type ModelConfigOptions, type ModelSpec } from './models.js';
export { ropeParameters } from './rope.js';
export { tensorData, tensorShapes, type TensorData } from './tensors.js';
export { cutPoints, raggedTokens, tokenRows } from './tokens.js';
