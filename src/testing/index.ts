/** fast-check arbitraries for property tests over engines and models. Needs the `fast-check` package. */
export { dropSets, keepLists } from './dropSets.js';
export { modelConfigs, modelSpecs, type ModelSpec } from './models.js';
export { tensorData, tensorShapes, type TensorData } from './tensors.js';
export { cutPoints, raggedTokens, tokenRows } from './tokens.js';
