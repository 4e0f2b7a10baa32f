import { checkOptions, number, whole } from '../engine/index.js';
import { seedOption, uniform } from './random.js';

export interface SamplingOptions {
  /** 0 takes the likeliest token. @defaultValue 0 */
  readonly temperature?: number;
  /** Only the k likeliest. */
  readonly topK?: number;
  /** Only the likeliest that together reach this probability (Holtzman et al., 2020). */
  readonly topP?: number;
  /** @defaultValue 0 */
  readonly seed?: number;
}

/** Chooses a token from logits [V]. */
export type Sampler = (logits: Float32Array) => number;

/** UserError for what no option can be. */
export function createSampler(options: SamplingOptions = {}): Sampler {
  checkOptions(options, {
    temperature: number('a number of at least 0', (value) => value >= 0 && value < Infinity),
    topK: whole(1),
    topP: number('a number above 0 and at most 1', (value) => value > 0 && value <= 1),
    seed: seedOption,
  });
  const { temperature = 0, topK, topP = 1, seed = 0 } = options;
  if (temperature === 0) return argmax;
  const next = uniform(seed);
  const narrow = (weighted: Weighted[]): Weighted[] => {
    if (topK === undefined && topP === 1) return weighted;
    const ranked = weighted.sort((a, b) => b.weight - a.weight || a.token - b.token).slice(0, topK);
    return withinMass(ranked, topP);
  };
  return (logits) => {
    const most = logits[argmax(logits)];
    const open = narrow(
      Array.from(logits, (logit, token) => ({ token, weight: Math.exp((logit - most) / temperature) })),
    );
    let rest = next() * open.reduce((sum, { weight }) => sum + weight, 0);
    return (open.find(({ weight }) => (rest -= weight) < 0) ?? open[0]).token;
  };
}

interface Weighted {
  readonly token: number;
  readonly weight: number;
}

/** The shortest head of a ranked list that holds a share `mass` of all weight. */
function withinMass(ranked: Weighted[], mass: number): Weighted[] {
  const enough = mass * ranked.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  const end = ranked.findIndex(({ weight }) => (sum += weight) >= enough);
  return end < 0 ? ranked : ranked.slice(0, end + 1);
}

/** Index of the largest; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
