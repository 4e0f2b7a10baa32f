/** Scores modules, chooses the redundant ones, writes checkpoints without them. */
export { keepsTo, parseBudgets, withinBudget, type Budget, type BudgetKind, type Cost } from './budget.js';
export { selectWindow, type WindowOptions } from './consecutive.js';
export { compensate, type Compensation, type CompensateOptions } from './compensate.js';
export { ProjectionFit, type FitResult } from './compensateFit.js';
export {
  compensationModes,
  compensationPlan,
  type CompensationMode,
  type CompensationPlan,
  type ModuleAt,
} from './compensatePlan.js';
export { compensationLoss, textLosses, type CompensationLoss, type CompensationRecord } from './compensateReport.js';
export { RefitWeights } from './compensateWeights.js';
export {
  alphaOption,
  type CompensationProgress,
  type CompensationState,
  type CompensatorOptions,
  type Refit,
} from './compensator.js';
export { methodRecord, type DropRecord, type MethodRecord } from './dropRecord.js';
export {
  dropReport,
  expertReport,
  lossReport,
  lossesAround,
  measureDrop,
  type DropReport,
  type ExpertReport,
  type LossReport,
} from './dropReport.js';
export {
  expertCriteria,
  expertMethod,
  expertsNeedText,
  selectExperts,
  type ExpertCriterion,
  type ExpertMethod,
  type ExpertRequest,
} from './expertMethod.js';
export { expertMetrics, reap, type ExpertMetric, type ExpertMetricName, type ExpertWork } from './expertMetric.js';
export { gateNormImportance, gateNormScores, type GateSource } from './gateNorm.js';
export { searchGreedily, type GreedyOptions, type GreedyStep, type SearchObjective } from './greedy.js';
export { importanceOf, withoutDropped, type ExpertWorks, type Importance, type Scores } from './importance.js';
export { parseImportance, parseShard, type ShardRecord } from './importanceFile.js';
export { dropIteratively, type IterativeOptions, type IterativeResult } from './iterative.js';
export {
  chooseByScores,
  chooseDrops,
  chooseWithoutText,
  dropMethod,
  metricNames,
  needsText,
  scoresWithoutText,
  searches,
  type Choice,
  type ChooseOptions,
  type DropMethod,
  type MethodRequest,
  type MetricName,
  type Search,
} from './method.js';
export { mergeShards, shardRows, type Shard, type ShardSums } from './mergeShards.js';
export { angular, cosine, metricNamed, metrics, relativeNorm, type Metric } from './metric.js';
export {
  defaultGaps,
  scoreImportance,
  scoreSums,
  type ScoreOptions,
  type ScoreProgress,
  type ScoreState,
} from './scoreImportance.js';
export type { ScoreSums } from './scoreSums.js';
export {
  mostRedundant,
  randomSelector,
  selectDrops,
  targets,
  type Constraints,
  type Selector,
  type Target,
} from './select.js';
export { sweep } from './sweep.js';
export type { SweepMethod, SweepOptions } from './sweepOptions.js';
export type { MeasuredModel, Quality, SweepPoint, SweepResult, SweepState, TextQuality } from './sweepResult.js';
export { dropRecordFile, mergeDrops, reservedLayers, writeDropped, type WriteDroppedOptions } from './writeDropped.js';
export { writeFewerExperts } from './writeExperts.js';
