/** Weights of 4-bit integers in the layouts of AutoAWQ, GPTQ and compressed-tensors. */
export { awqLayout } from './awqLayout.js';
export { compressedTensorsLayout } from './compressedTensorsLayout.js';
export { gptqLayout } from './gptqLayout.js';
export type { Int4Layout } from './layout.js';
export { int4Methods, parseQuantization, type Int4Method, type Quantization } from './quantization.js';
export { paddedInt4, rotaryOrderedInt4, sliceInt4, withZeroPoints, zeroInt4 } from './int4Views.js';
export { StoredInt4 } from './storedInt4.js';
export type { PackedWeight } from './packedWeight.js';
