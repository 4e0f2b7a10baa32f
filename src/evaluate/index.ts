/** What a model costs and gives: losses and logits. */
export { computeLogits, type LogitsResult } from './logits.js';
export { evaluateLoss, pairedDifference, type LossResult } from './loss.js';
