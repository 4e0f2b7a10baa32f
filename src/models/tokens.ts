import { UserError, tokenIds } from '../engine/index.js';
import type { Model } from './model.js';

/** Token ids of a model's vocabulary as int32. UserError for what is none of them: 1.5, -1, 'x', or one beyond it. */
export function checkedTokens(
  { config: { vocabSize } }: Pick<Model, 'config'>,
  tokens: ArrayLike<number>,
  name = 'tokens',
): Int32Array {
  const ids = tokenIds(tokens, name);
  const bad = ids.findIndex((id) => id < 0 || id >= vocabSize);
  if (bad >= 0) throw new UserError(`${name}[${bad}]: token ${ids[bad]} is not within 0 to ${vocabSize - 1}`);
  return ids;
}
