/** Scores modules, chooses the redundant ones, writes checkpoints without them. */
export { selectWindow, type WindowOptions } from './consecutive.js';
export { dropReport, measureDrop, type DropReport, type LossReport } from './dropReport.js';
export { drawRows, type DrawnRows } from './drawRows.js';
export { openDropSource } from './dropSource.js';
export { gateNormScores } from './gateNorm.js';
export { searchGreedily, type GreedyOptions, type GreedyStep, type SearchObjective } from './greedy.js';
export { splitRows, type SplitRows } from './heldOut.js';
export { scoreImportance, type Importance, type ScoreOptions, type Scores } from './importance.js';
export { parseImportance, withoutDropped } from './importanceFile.js';
export { dropIteratively, type IterativeOptions, type IterativeResult } from './iterative.js';
export { angular, cosine, metrics, relativeNorm, type Metric } from './metric.js';
export { mostRedundant, randomSelector, selectDrops, targets, type Constraints, type Selector, type Target } from './select.js';
export { mergeDrops, reservedLayers, writeDropped, type DropSource, type WriteDroppedOptions } from './writeDropped.js';
