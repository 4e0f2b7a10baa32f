import { UserError, tokenIds } from '../engine/index.js';
import type { Model } from './model.js';

/** How many tokens two texts have in common at their beginning. */
export function sharedLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

/** Tokens that a text may have: `dynamic` angles are made for any number of them. */
export const contextOf = ({ config }: Pick<Model, 'config'>): number =>
  config.rope.type === 'dynamic' ? Infinity : config.maxPositionEmbeddings;

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
