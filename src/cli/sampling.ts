import type { Values } from './command.js';
import { int, number } from './options.js';

/** How commands that generate text choose each token. */
export const samplingOptions = {
  temperature: number('0 takes the likeliest token, higher is more varied', 0),
  topK: int('choose among the k likeliest tokens', 1),
  topP: number('choose among the likeliest tokens that together reach this probability'),
  seed: int('of the random choice', 0, 0),
};

/** These, and how long a text gets. */
export type SamplingValues = Values<typeof samplingOptions> & { readonly maxTokens: number };

/** The part of a command's values that is for the library. */
export const samplingOf = ({ maxTokens, temperature, topK, topP, seed }: SamplingValues): SamplingValues => ({
  maxTokens,
  temperature,
  topK,
  topP,
  seed,
});
