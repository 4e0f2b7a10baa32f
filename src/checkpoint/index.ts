/** Model folders: safetensors files, their tokenizer, and folders written whole. Knows nothing of models. */
export { writeGguf, type GgufTensor } from './gguf/ggufWriter.js';
export { modelName } from './modelName.js';
export * from './output/index.js';
export * from './reading.js';
export { writeSafetensors, type WriteOptions } from './safetensorsWriter.js';
export { defaultShardBytes, planShards, writeWeights } from './shards.js';
