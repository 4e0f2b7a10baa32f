/** What a model costs and gives: losses and logits. */
export { ReferenceOutputs, rowDivergence, type ComparedLoss } from './agreement.js';
export { BaseOutputs, type BaseOptions, type ModelDivergence } from './baseOutputs.js';
export { compareDecodeSpeeds, decodeSpeed, type CompareSpeedsOptions } from './decodeSpeed.js';
export { likeliestTokens } from './likeliestTokens.js';
export { computeLogits, type LogitsResult } from './logits.js';
export { mean, standardError } from './mean.js';
export {
  byRows,
  checkPredictable,
  evaluateLoss,
  pairedDifference,
  rowNats,
  type LossOptions,
  type LossResult,
} from './loss.js';
