/** Calibration rows, and the walks over a model that run them past observers. */
export * from './calibrationRows.js';
export * from './documents.js';
export { DiskStates, MemoryStates, type HiddenStates } from './hiddenStates.js';
export { streamRows, type StreamOptions, type StreamPosition } from './streamRows.js';
export { walkRows, type Progress, type WalkOptions } from './walk.js';
