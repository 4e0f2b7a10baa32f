/** One function for each job on a model folder: what it does is told by one kind of progress, and said in a record. */
export { dropModules, type DropModulesOptions, type DropResult } from './dropModules.js';
export { dropExperts, type DropExpertsOptions } from './dropExperts.js';
export { evaluateModel, type EvaluateModelOptions, type EvaluateResult } from './evaluateModel.js';
export { evaluateTasks, type EvaluateTasksOptions, type TasksRecord } from './evaluateTasks.js';
export { exportCheckpoint, type ExportCheckpointOptions, type ExportRecord } from './exportCheckpoint.js';
export type { ComputeOptions, JobOptions, JobProgress } from './jobOptions.js';
export { provenance, type Provenance } from './provenance.js';
export { localModel, pullModel, type PullOptions, type PullRecord } from './pullModel.js';
export { quantizeCheckpoint, type QuantizeCheckpointOptions, type QuantizeResult } from './quantizeCheckpoint.js';
export { refitModel, type RefitModelOptions, type RefitResult } from './refitModel.js';
export type { RefitRecord } from './refitWork.js';
export { scoreMetrics, scoreModel, type ScoreMetric, type ScoreModelOptions, type ScoreRecord } from './scoreModel.js';
export type { SweepChoice } from './sweepChoice.js';
export type { SweepFile } from './sweepFile.js';
export { sweepModel, type SweepModelOptions, type SweepRecord } from './sweepModel.js';
export type { RowOptions } from './textRows.js';
