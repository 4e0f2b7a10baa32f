/** What a model costs and gives: losses and logits. */
export { ReferenceOutputs, type ComparedLoss } from './agreement.js';
export { compareDecodeSpeeds, decodeSpeed, type CompareSpeedsOptions } from './decodeSpeed.js';
export { computeLogits, type LogitsResult } from './logits.js';
export { evaluateLoss, pairedDifference, type LossResult } from './loss.js';
