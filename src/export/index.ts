/** Models for other engines: LLM-Drop's format, plain Hugging Face checkpoints, GGUF for llama.cpp, nemotron-nas for vLLM. */
export { exportModel, type ExportSource } from './exportModel.js';
export {
  blocksFor,
  exportFormats,
  exportOutputs,
  exportTypes,
  type ExportFormat,
  type ExportOptions,
  type ExportType,
} from './exportOptions.js';
export { parseReport, type Evidence } from './modelCard.js';
export type { Proof } from './proof.js';
export type { ExportResult } from './provedResult.js';
