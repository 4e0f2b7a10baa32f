/** The jobs step by step, for what chains them: each is worked out on opened models first, and then written. */
export { workOutDrop } from './dropWork.js';
export { workOutExpertDrop } from './expertWork.js';
export { checkJob, engineFor, stageOf } from './jobOptions.js';
export { lossesOf } from './losses.js';
export { versionsOf, type Versions } from './provenance.js';
export { checkShapes } from './quantizeShapes.js';
export { workOutQuantized } from './quantizeWork.js';
export { workOutRefit } from './refitWork.js';
export type { Resumable, Resume } from './resume.js';
export { rowsOfText } from './textRows.js';
