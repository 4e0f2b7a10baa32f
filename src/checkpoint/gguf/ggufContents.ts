import type { Shape, WeightSource } from '../../engine/index.js';
import type { GgufFile } from './ggufFile.js';

/** Holds what divides the rotary angles. */
export const ropeDivisorsTensor = 'rope_freqs.weight';

const longFactorsTensor = 'rope_factors_long.weight';
const shortFactorsTensor = 'rope_factors_short.weight';
/** Tensors that are no weights. */
export const ropeTensors = [ropeDivisorsTensor, longFactorsTensor, shortFactorsTensor];

/** What a file says of its model by the tensors that it holds. */
export interface GgufContents {
  /** [vocabulary, hidden]; undefined where it is missing. */
  readonly embedding: Shape | undefined;
  /** Whether the output projection is the embedding. */
  readonly isTied: boolean;
  readonly hasAttentionBias: boolean;
  readonly hasMlpBias: boolean;
  /** What each rotary angle is divided by, [headDim / 2]. */
  readonly ropeDivisors: WeightSource | undefined;
  /** The same for long texts and for others. */
  readonly longFactors: WeightSource | undefined;
  readonly shortFactors: WeightSource | undefined;
}

export function ggufContents(file: GgufFile): GgufContents {
  const hasTensor = (end: string): boolean => file.tensorNames().some((name) => name.endsWith(end));
  const source = (name: string): WeightSource | undefined => (file.has(name) ? file.source(name) : undefined);
  const embedding = 'token_embd.weight';
  return {
    embedding: file.has(embedding) ? file.info(embedding).shape : undefined,
    isTied: !file.has('output.weight'),
    hasAttentionBias: hasTensor('attn_q.bias'),
    hasMlpBias: hasTensor('ffn_down.bias'),
    ropeDivisors: source(ropeDivisorsTensor),
    longFactors: source(longFactorsTensor),
    shortFactors: source(shortFactorsTensor),
  };
}
