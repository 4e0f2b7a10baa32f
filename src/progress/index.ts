/** How far a long run has come: told while it runs, and saved so that it continues where it was interrupted. */
export { fingerprintDifferences, fingerprintOf, type Fingerprint, type FingerprintInput } from './fingerprint.js';
export { PeriodicSaver } from './periodicSaver.js';
export type { Progress } from './progress.js';
export { ProgressFile, type SavedProgress } from './progressFile.js';
