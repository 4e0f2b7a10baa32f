/** GGUF files: header, metadata, tensors and their blocks. What the metadata means is told elsewhere. */
export { decodeGgml } from './decodeBlocks.js';
export { encodeGgml, roundingBound, type WrittenType } from './encodeBlocks.js';
export { floatType, ggmlTypes, type GgmlType } from './ggmlTypes.js';
export { ggufContents, ropeDivisorsTensor, ropeTensors, type GgufContents } from './ggufContents.js';
export { ggufTokenizerFiles } from './ggufTokenizer.js';
export { GgufFile } from './ggufFile.js';
export { takesInt8 } from './int8Blocks.js';
export { isGguf } from './isGguf.js';
export { bool, f32, f32s, i32s, string, strings, u32, type GgufMetadata, type GgufValue } from './ggufFormat.js';
export { splitParts } from './splitFiles.js';
