/** Walks over a model that run rows of tokens past observers: whole, a layer at a time, or a module at a time. */
export { DiskStates } from './diskStates.js';
export { MemoryStates, type HiddenStates } from './hiddenStates.js';
export { InputGrams } from './inputGrams.js';
export { KeptOutputs } from './keptOutputs.js';
export { ModuleRows, capturedInputs, moduleStream, type CapturedInputs } from './moduleRows.js';
export { embedded, streamRows, type StreamOptions, type StreamPosition } from './streamRows.js';
export { statesBeside, waitingStates, type StatesBesideOptions, type WaitingStatesOptions } from './waitingStates.js';
export { walkOutputs, type OutputOptions } from './walkOutputs.js';
export { walkRows, type OnRow, type WalkOptions } from './walk.js';
