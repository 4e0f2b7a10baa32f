import { host } from '../engine/hosts/index.js';
import {
  UserError,
  allFinite,
  checkOptions,
  createBatch,
  flag,
  list,
  whole,
  type KvCache,
  type Read,
} from '../engine/index.js';
import type { Model } from './model.js';
import { notFinite } from './notFinite.js';
import { createSampler, type SamplingOptions } from './sampling.js';
import { TokenCache } from './tokenCache.js';
import { checkedTokens, contextOf } from './tokens.js';

export interface GenerateOptions extends SamplingOptions {
  /** @defaultValue 128 */
  readonly maxTokens?: number;
  /** Generation ends before one of these. @defaultValue the config's eos tokens */
  readonly stopTokens?: readonly number[];
  /** Called with each token as it comes. */
  readonly onToken?: (token: number) => void;
  /** Ends generation early; what was generated so far is returned. */
  readonly signal?: AbortSignal;
  /**
   * Keep keys and values, or go on with those of earlier generations; without, every step runs the whole sequence again.
   * @defaultValue true
   */
  readonly cache?: boolean | TokenCache;
}

export interface Generation {
  readonly tokens: readonly number[];
  readonly stoppedBy: 'stop token' | 'length' | 'signal';
}

const cacheOption: Read<boolean | TokenCache> = (value, name) =>
  value instanceof TokenCache ? value : flag(value, name);

/** Logits [V] of the token after `tokens`, which follow those in the cache. */
const logitsBehind = (
  model: Model,
  tokens: readonly number[],
  { cache, signal }: { cache?: KvCache; signal?: AbortSignal },
): Promise<Float32Array> =>
  model.engine.exclusive(async () => {
    const batch = createBatch([tokens], [cache ? cache.lengths[0] : 0]);
    const hidden = await model.forwardYielding(batch, { cache, last: true, signal });
    return model.engine.readFloats(model.logits(hidden));
  });

/** Continues a prompt of at least one token: prefill, then a token at a time. NotFiniteError where a logit is no number. */
export async function generate(
  model: Model,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): Promise<Generation> {
  checkOptions(options, { maxTokens: whole(0), stopTokens: list(whole(0)), cache: cacheOption });
  const { maxTokens = 128, stopTokens = model.config.eosTokenIds, onToken, signal } = options;
  const context = contextOf(model);
  if (prompt.length === 0) throw new UserError('the prompt has no token: give at least one');
  if (prompt.length >= context)
    throw new UserError(`the prompt has ${prompt.length} tokens, but the model's context is ${context}`);
  const given = Array.from(checkedTokens(model, prompt, 'prompt'));
  const limit = Math.min(maxTokens, context - prompt.length);
  const sample = createSampler(options);
  const tokens: number[] = [];
  const capacity = prompt.length + limit;
  const kept = options.cache instanceof TokenCache ? options.cache : undefined;
  const cache = options.cache === false ? undefined : (kept?.begin(given, capacity) ?? model.createCache({ capacity }));
  try {
    let fresh = given.slice(cache?.lengths[0]);
    while (tokens.length < limit) {
      if (signal?.aborted) return { tokens, stoppedBy: 'signal' };
      const keeps = cache && model.keepsAngles(cache.lengths[0], cache.lengths[0] + fresh.length);
      if (!keeps) {
        cache?.truncate(0);
        fresh = [...given, ...tokens];
      }
      const logits = await logitsBehind(model, fresh, { cache, signal });
      if (!allFinite(logits)) throw await notFinite(model, [...given, ...tokens], 'a logit');
      const token = sample(logits);
      if (stopTokens.includes(token)) return { tokens, stoppedBy: 'stop token' };
      tokens.push(token);
      onToken?.(token);
      fresh = [token];
      await host.nextTurn(); // lets timers, signals and whoever prints have their turn
    }
    return { tokens, stoppedBy: 'length' };
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return { tokens, stoppedBy: 'signal' };
    throw error;
  } finally {
    if (kept) kept.end([...given, ...tokens]);
    else cache?.dispose();
  }
}
