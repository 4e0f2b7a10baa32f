import type { Tensor } from '../engine/index.js';
import type { Model } from '../models/index.js';

/** How likely a token was where it stands. */
export interface TokenScore {
  /** Natural logarithm of its probability. */
  readonly logprob: number;
  /** The likeliest tokens there, the first first. */
  readonly top: readonly RankedToken[];
}

export interface RankedToken {
  readonly token: number;
  readonly logprob: number;
}

/** Logits are made for so many numbers at once: 16 MiB of them. */
const logitsAtOnce = 2 ** 22;

/**
 * Scores the tokens that follow the positions of `hidden` [n, D], beside the `top` likeliest of each. Logits are made for
 * some rows at a time. What is not finite gives a score that is not.
 */
export async function tokenScores(
  model: Model,
  hidden: Tensor,
  tokens: Int32Array,
  top: number,
): Promise<TokenScore[]> {
  const { engine, config } = model;
  const chunk = Math.max(1, Math.floor(logitsAtOnce / config.vocabSize));
  const scores: TokenScore[] = [];
  for (let start = 0; start < tokens.length; start += chunk) {
    const end = Math.min(start + chunk, tokens.length);
    using _chunk = engine.scope();
    scores.push(
      ...(await (top > 1 ? ranked : likeliest)(model, hidden.rows(start, end), tokens.subarray(start, end), top)),
    );
  }
  return scores;
}

/** Beside the likeliest token at most: logits are made once, and of each row's only a few numbers are read. */
async function likeliest(model: Model, hidden: Tensor, tokens: Int32Array, top: number): Promise<TokenScore[]> {
  const { engine, config } = model;
  if (top === 0)
    return Array.from(await engine.readFloats(model.losses(hidden, tokens)), (loss) => ({ logprob: -loss, top: [] }));
  const logits = model.logits(hidden);
  const first = (await engine.read(engine.argmax(logits))) as Int32Array;
  const each = logits.reshape([logits.size, 1]);
  const logitsOf = (some: Int32Array): Tensor =>
    engine.gather(
      each,
      some.map((token, row) => row * config.vocabSize + token),
    );
  const most = logitsOf(first);
  const [own, best, sums] = [
    await engine.readFloats(logitsOf(tokens)),
    await engine.readFloats(most),
    await engine.readFloats(engine.sum(engine.map(logits, ['exp', ['subtract', 'x', 'y']], most))),
  ];
  return Array.from(tokens, (_, i) => ({
    logprob: own[i] - best[i] - Math.log(sums[i]),
    top: [{ token: first[i], logprob: -Math.log(sums[i]) }],
  }));
}

async function ranked(model: Model, hidden: Tensor, tokens: Int32Array, top: number): Promise<TokenScore[]> {
  const logits = await model.engine.readFloats(model.logits(hidden));
  const { vocabSize } = model.config;
  return Array.from(tokens, (token, i) => rank(logits.subarray(i * vocabSize, (i + 1) * vocabSize), token, top));
}

/** The `top` likeliest by logits [V], the lower token of equals first, and how likely one token is. */
export function rank(logits: Float32Array, token: number, top: number): TokenScore {
  const first: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    if (first.length === top && !(logits[i] > logits[first[top - 1]])) continue;
    const place = first.findIndex((other) => logits[i] > logits[other]);
    first.splice(place < 0 ? first.length : place, 0, i);
    first.length = Math.min(first.length, top);
  }
  const most = logits[first[0]];
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  const norm = most + Math.log(sum);
  return {
    logprob: logits[token] - norm,
    top: first.map((ranked) => ({ token: ranked, logprob: logits[ranked] - norm })),
  };
}
