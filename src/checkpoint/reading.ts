/** Model folders, safetensors and GGUF files, and their tokenizers, as they are read: also in a browser, which has this file in place of `index.ts`. */
export * from './adapter/index.js';
export { Checkpoint, openCheckpoint } from './checkpoint.js';
export { exists } from './exists.js';
export { fileError, systemErrorCode } from './fileError.js';
export { makeFolders } from './makeFolders.js';
export {
  StoredInt4,
  awqLayout,
  compressedTensorsLayout,
  gptqLayout,
  paddedInt4,
  rotaryOrderedInt4,
  sliceInt4,
  withZeroPoints,
  zeroInt4,
  int4Methods,
  parseQuantization,
  type Int4Layout,
  type Int4Method,
  type PackedWeight,
  type Quantization,
} from './int4/index.js';
export { quantizationKeys } from './int4/quantizationFiles.js';
export type { ModelSource, SideFiles, StoredTensor } from './modelSource.js';
export * from './gguf/index.js';
export { derived, formatJson, withoutKeys } from './jsonText.js';
export { joinedInt8, rotaryOrderedInt8, sliceInt8, stackedInt8 } from './int8Views.js';
export { joinedInt4, joinedSource } from './joinedViews.js';
export { readJsonObject, type JsonObject } from './jsonFile.js';
export {
  castSource,
  constantSource,
  paddedSource,
  readValues,
  rotaryOrdered,
  rowsOf,
  widthOf,
  type RotaryOrder,
} from './rowViews.js';
export { SafetensorsFile, type RawTensor } from './safetensorsFile.js';
export {
  safetensorsBytes,
  safetensorsDTypes,
  weightDTypes,
  type SafetensorsDType,
  type TensorInfo,
} from './safetensorsHeader.js';
export { tensorBytes, tensorOfBytes, tensorOfSource, type TensorToWrite } from './tensorToWrite.js';
export { readWhole, textOf } from './readWhole.js';
export { SourceView, type SourceChanges } from './sourceView.js';
export * from './tokenizer/index.js';
export { copySideFiles, isSideFile, tokenizerFiles } from './sideFiles.js';
export { pickedSource, sliceExperts, sliceSource, stackedInt4, stackedSource } from './weightViews.js';
export { weightFileNames } from './weightFiles.js';
export { indexFile, namedWeights, singleFile } from './weightNames.js';
export { isWholeModel } from './wholeModel.js';
