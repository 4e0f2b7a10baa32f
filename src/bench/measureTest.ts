import { setImmediate } from 'node:timers/promises';
import { checkOptions, createBatch, oneOf, type Engine, type KvCache, type Options } from '../engine/index.js';
import { seedOption, uniform, type Model } from '../models/index.js';
import { benchTest, type BenchTest } from './benchTest.js';

export interface MeasureOptions {
  /** Type of the cached keys and values. @defaultValue 'float32' */
  readonly kv?: 'float32' | 'float16';
  /** Seed of the random tokens. @defaultValue 0 */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** What these may be. */
export const measureOptions: Options<MeasureOptions> = { kv: oneOf(['float32', 'float16']), seed: seedOption };

/** Tokens of each sequence that a pass takes while the cache is filled to the test's depth. */
const fillTokens = 512;

/** A cache that holds random tokens to the test's depth, with room for the test. */
export async function filledCache(model: Model, test: BenchTest, options: MeasureOptions = {}): Promise<KvCache> {
  const { tokens, depth, batch } = test;
  const draw = randomTokens(model, test, options.seed);
  const cache = model.createCache({ slots: batch, capacity: depth + tokens, dtype: options.kv ?? 'float32' });
  try {
    for (let at = 0; at < depth; at += fillTokens) {
      options.signal?.throwIfAborted();
      fill(model, cache, draw(Math.min(fillTokens, depth - at)), at);
      await setImmediate(); // lets signals and progress have their turn
    }
  } catch (error) {
    cache.dispose();
    throw error;
  }
  return cache;
}

/**
 * One sample of a test, in tokens a second over all sequences. All tokens are random, also those that are decoded, so
 * that a model's taste does not decide which experts it visits. The clock runs over the forward passes and the logits
 * of each sequence's last token, until these are read. Filling the cache to the depth is not timed; a cache that was
 * `filled` for an earlier sample serves any number of them.
 */
export async function measureTest(
  model: Model,
  test: BenchTest,
  options: MeasureOptions = {},
  filled?: KvCache,
): Promise<number> {
  checkOptions(test, benchTest);
  checkOptions(options, measureOptions);
  const { kind, tokens, depth, batch } = test;
  using own = filled ? undefined : await filledCache(model, test, options);
  const cache = filled ?? own!;
  for (let slot = 0; slot < batch; slot++) cache.truncate(slot, depth);
  const draw = randomTokens(model, test, options.seed);
  const steps = kind === 'prefill' ? [draw(tokens)] : Array.from({ length: tokens }, () => draw(1));
  return await model.engine.exclusive(async () => {
    await settle(model.engine); // so that work enqueued before is not timed
    const start = performance.now();
    for (const [i, step] of steps.entries()) await stepOf(model, cache, step, depth + i);
    return (batch * tokens * 1000) / (performance.now() - start);
  });
}

/** As many tokens for each of the test's sequences as one asks for. */
function randomTokens(model: Model, { batch }: BenchTest, seed = 0): (count: number) => Int32Array[] {
  const next = uniform(seed);
  const token = (): number => Math.floor(next() * model.config.vocabSize);
  return (count) => Array.from({ length: batch }, () => Int32Array.from({ length: count }, token));
}

function fill(model: Model, cache: KvCache, sequences: readonly Int32Array[], start: number): void {
  for (const [slot, sequence] of sequences.entries()) {
    using _scope = model.engine.scope();
    model.forward(createBatch([sequence], [start], [slot]), { cache, last: true });
  }
}

/** One pass over the next tokens of all sequences, to the logits of the last token of each. */
async function stepOf(model: Model, cache: KvCache, sequences: readonly Int32Array[], start: number): Promise<void> {
  const { engine } = model;
  using _scope = engine.scope();
  const hidden = model.forward(
    createBatch(
      sequences,
      sequences.map(() => start),
    ),
    { cache, last: true },
  );
  await engine.readFloats(model.logits(hidden));
}

/** Waits for the device by reading a number back. */
async function settle(engine: Engine): Promise<void> {
  using _scope = engine.scope();
  await engine.read(engine.add(engine.tensor([0]), engine.tensor([0])));
}
