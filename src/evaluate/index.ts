/** What a model costs and gives: losses and logits. */
export { decodeSpeed } from './decodeSpeed.js';
export { computeLogits, type LogitsResult } from './logits.js';
export { evaluateLoss, pairedDifference, type LossResult } from './loss.js';
