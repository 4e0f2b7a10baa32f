import type { Tensor } from '../engine/index.js';
import type { Model } from '../models/index.js';

/** Logits are made for so many numbers at once: 32 MiB of them. */
const logitsAtOnce = 2 ** 23;

/** hidden [T, D] -> the likeliest next token of each, by logits of a chunk of rows at a time. */
export async function likeliestTokens(model: Model, hidden: Tensor): Promise<Int32Array> {
  const { engine, config } = model;
  const length = hidden.shape[0];
  const chunk = Math.max(1, Math.floor(logitsAtOnce / config.vocabSize));
  const tokens = new Int32Array(length);
  for (let start = 0; start < length; start += chunk) {
    using _chunk = engine.scope();
    const logits = model.logits(hidden.rows(start, Math.min(start + chunk, length)));
    tokens.set((await engine.read(engine.argmax(logits))) as Int32Array, start);
  }
  return tokens;
}
