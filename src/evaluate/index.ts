/** What a model costs and gives: losses and logits. */
export { ReferenceOutputs, rowDivergence, type ComparedLoss } from './agreement.js';
export { compareDecodeSpeeds, decodeSpeed, type CompareSpeedsOptions } from './decodeSpeed.js';
export { likeliestTokens } from './likeliestTokens.js';
export { computeLogits, type LogitsResult } from './logits.js';
export { byRows, checkPredictable, evaluateLoss, pairedDifference, rowNats, type LossResult } from './loss.js';
