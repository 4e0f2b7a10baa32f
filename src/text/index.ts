/** Text to rows of tokens, to calibrate on and to measure on. */
export { calibrationRecord, calibrationWords, type CalibrationRecord } from './calibrationRecord.js';
export * from './calibrationRows.js';
export * from './documents.js';
export type { RecordOptions } from './records.js';
export { drawRows, type DrawnRows } from './drawRows.js';
export { splitRows, type SplitRows } from './heldOut.js';
export { sweepRows, type HeldOutText, type SweepRows, type SweepRowsOptions } from './heldOutTexts.js';
export { bosPlaces, type BosPlace, type CalibrationTokenizer } from './packedRows.js';
export { formOf } from './textFile.js';
export { stripped, strippedEnd } from './textParts.js';
export { rowDefaults } from './rowDefaults.js';
export { rowsDigest } from './rowsDigest.js';
export { stridedWindows, type StridedWindows } from './stridedWindows.js';
export { textSize, type TextSize } from './textSize.js';
