/** Weights of 8 bits that are what is stored times a scale. */
export { openScaled, type Scaled } from './scaledWeights.js';
