/** Models for other engines: LLM-Drop's format, plain Hugging Face checkpoints, GGUF for llama.cpp, nemotron-nas for vLLM. */
export {
  exportFormats,
  exportModel,
  exportTypes,
  type ExportFormat,
  type ExportOptions,
  type ExportResult,
  type ExportSource,
  type ExportType,
} from './exportModel.js';
export { decodeGgml, encodeGgml, type GgmlType } from './ggmlBlocks.js';
export { GgufFile } from './ggufFile.js';
export { ggufModel } from './ggufModel.js';
export { parseReport, type Evidence } from './modelCard.js';
export type { Proof } from './proof.js';
