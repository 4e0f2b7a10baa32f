/** llm-drop: finds, removes and proves redundant layers of a language model. */
export * from './bench/index.js';
export * from './checkpoint/index.js';
export * from './compress/index.js';
export * from './drop/index.js';
export * from './engine/index.js';
export * from './evaluate/index.js';
export * from './export/index.js';
export * from './jobs/index.js';
export * from './linalg/index.js';
export * from './models/index.js';
export * from './progress/index.js';
export * from './quant/index.js';
export * from './text/index.js';
export * from './walk/index.js';
