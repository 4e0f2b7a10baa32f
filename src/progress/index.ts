/** How far a long run has come: told while it runs, and saved so that it continues where it was interrupted. */
export { checkChecksum, readChecked, withChecksum, type Checksum } from './checksum.js';
export { fingerprintDifferences, fingerprintOf, type Fingerprint, type FingerprintInput } from './fingerprint.js';
export { PeriodicSaver } from './periodicSaver.js';
export type { Progress } from './progress.js';
export { ProgressFile, progressPaths, type SavedProgress } from './progressFile.js';
