/** Files and folders that are written: checked and locked before any work, and there complete or not at all. */
export type { Output } from './checkFile.js';
export { checkOutputs, type JobPaths } from './checkOutputs.js';
export { claimOutputs } from './claimOutputs.js';
export { lockPlace } from './lock.js';
export { writeFileAtomically } from './writeFile.js';
export { writeFolderAtomically, type WriteFolderOptions } from './writeFolder.js';
