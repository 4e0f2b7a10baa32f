import { UserError, allFinite } from '../engine/index.js';
import { walkRows, type WalkOptions } from '../walk/index.js';
import { checkedTokens, notFinite, type Model } from '../models/index.js';

export interface LogitsResult {
  /** [batch, time, vocabulary] */
  readonly shape: readonly [number, number, number];
  readonly logits: Float32Array;
}

/** All logits of sequences of equal length, for comparing engines. NotFiniteError where one is no number. */
export async function computeLogits(
  model: Model,
  sequences: readonly (readonly number[])[],
  { onProgress, signal }: Omit<WalkOptions, 'observer'> = {},
): Promise<LogitsResult> {
  const time = sequences[0]?.length ?? 0;
  if (time === 0 || sequences.some(({ length }) => length !== time))
    throw new UserError('logits need at least one sequence, all of one length of at least 1');
  const logits = new Float32Array(sequences.length * time * model.config.vocabSize);
  await walkRows(
    model,
    sequences.map((tokens, i) => checkedTokens(model, tokens, `sequences[${i}]`)),
    { signal, onProgress: (done, total) => onProgress?.(done, total, 'sequences') },
    async (hidden, index) => {
      const values = await model.engine.readFloats(model.logits(hidden));
      if (!allFinite(values)) throw await notFinite(model, sequences[index], 'a logit');
      logits.set(values, index * time * model.config.vocabSize);
    },
  );
  return { shape: [sequences.length, time, model.config.vocabSize], logits };
}
