/** Calibration rows, and the walk over a model that runs them past observers. */
export * from './calibrationRows.js';
export * from './documents.js';
export { walkRows, type Progress, type WalkOptions } from './walk.js';
