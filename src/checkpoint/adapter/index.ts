/** LoRA adapters, in the files of PEFT. */
export { adapterAlone, adapterBeside, adapterWeights, readAdapterConfig } from './adapterFiles.js';
export { mergeAdapter, type Merged } from './loraAdapter.js';
