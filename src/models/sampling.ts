import { NotFiniteError, checkOptions, number, whole } from '../engine/index.js';
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

/** Chooses a token from logits [V]; -Infinity is never chosen. NotFiniteError where the largest, or any weight, is no number. */
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
  if (temperature === 0) return likeliest;
  const next = uniform(seed);
  const narrow = (weighted: Weighted[]): Weighted[] => {
    if (topK === undefined && topP === 1) return weighted;
    const ranked = weighted.sort((a, b) => b.weight - a.weight || a.token - b.token).slice(0, topK);
    return withinMass(ranked, topP);
  };
  return (logits) => {
    const most = logits[likeliest(logits)];
    const open = narrow(
      Array.from(logits, (logit, token) => ({ token, weight: Math.exp((logit - most) / temperature) })),
    );
    const mass = open.reduce((sum, { weight }) => sum + weight, 0);
    if (!(mass < Infinity)) throw new NotFiniteError('a logit to sample from is not a number');
    let rest = next() * mass;
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
function likeliest(logits: Float32Array): number {
  let best = 0;
  // Written so that what is not a number is taken, and then refused.
  for (let i = 1; i < logits.length; i++) if (!(logits[i] <= logits[best])) best = i;
  if (!Number.isFinite(logits[best])) throw new NotFiniteError(`the logit of token ${best} is ${logits[best]}`);
  return best;
}
