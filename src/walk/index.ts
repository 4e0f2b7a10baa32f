/** Calibration rows, and the walks over a model that run them past observers. */
export * from './calibrationRows.js';
export * from './documents.js';
export {
  fingerprintDifferences,
  fingerprintOf,
  rowsDigest,
  type Fingerprint,
  type FingerprintInput,
} from './fingerprint.js';
export { DiskStates, MemoryStates, type HiddenStates } from './hiddenStates.js';
export { InputGrams } from './inputGrams.js';
export { KeptOutputs } from './keptOutputs.js';
export { ModuleRows, capturedInputs, moduleStream, type CapturedInputs } from './moduleRows.js';
export { ProgressFile, type SavedProgress } from './progressFile.js';
export { embedded, streamRows, type StreamOptions, type StreamPosition } from './streamRows.js';
export { walkRows, type OnRow, type Progress, type WalkOptions } from './walk.js';
export {
  NotPositiveDefinite,
  cholesky,
  choleskyInverse,
  choleskySolve,
  dampedCholesky,
  diagonalMean,
  invertLower,
  solveLower,
  type Damped,
} from './cholesky.js';
export { subtractProduct, transposed, viewOf, type MatrixView } from './subtractProduct.js';
