/**
 * What a sequence gives does not depend on who else is in a pass, to the last bit: alone, its prompt in one pass and then
 * a token at a time, or among others that come and go, its prompt in pieces. A piece is of two tokens or more, but for a
 * prompt of one: single tokens attend by other kernels.
 */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, type Engine, type KvCache } from '../../src/engine/index.js';
import { createModel, type Model } from '../../src/models/index.js';
import { int8Quantizer, rtnQuantizer } from '../../src/quant/index.js';
import { dropSets, modelSpecs } from '../../src/testing/index.js';
import type { TestedBackend } from '../support/backends.js';
import { wasmWithSmallTiles } from '../support/smallTiles.js';

interface Client {
  /** The pass in which it comes. */
  readonly arrival: number;
  readonly pieces: readonly number[];
  readonly tokens: readonly number[];
}

const clients = (vocabulary: number, longest: number): fc.Arbitrary<Client[]> =>
  fc.array(
    fc
      .record({
        arrival: fc.nat(5),
        pieces: fc.oneof<fc.MaybeWeightedArbitrary<number[]>[]>(
          { weight: 1, arbitrary: fc.constant([1]) },
          { weight: 5, arbitrary: fc.array(fc.integer({ min: 2, max: longest }), { minLength: 1, maxLength: 4 }) },
        ),
        steps: fc.nat(6),
      })
      .chain(({ arrival, pieces, steps }) => {
        const length = pieces.reduce((sum, piece) => sum + piece, steps);
        return fc
          .array(fc.nat(vocabulary - 1), { minLength: length, maxLength: length })
          .map((tokens) => ({ arrival, pieces, tokens }));
      }),
    { minLength: 1, maxLength: 7 },
  );

const quantizers = {
  floats: undefined,
  int4: rtnQuantizer({ groupSize: 32 }),
  int8: int8Quantizer(),
};

/** Logits after the prompt and after each token behind it. */
type Answer = number[][];

/** Runs pieces [slot, tokens] in one pass, and gives the logits of each piece's last token. */
async function pass(model: Model, cache: KvCache, pieces: readonly (readonly [number, number[]])[]): Promise<Answer> {
  using _scope = model.engine.scope();
  const batch = createBatch(
    pieces.map(([, tokens]) => tokens),
    pieces.map(([slot]) => cache.lengths[slot]),
    pieces.map(([slot]) => slot),
  );
  const logits = await model.engine.readFloats(model.logits(model.forward(batch, { cache, last: true })));
  const width = logits.length / pieces.length;
  return pieces.map((_, row) => [...logits.subarray(row * width, (row + 1) * width)]);
}

async function alone(model: Model, { pieces, tokens }: Client, dtype: 'float32' | 'float16'): Promise<Answer> {
  using cache = model.createCache({ capacity: tokens.length, dtype });
  const prompt = pieces.reduce((sum, piece) => sum + piece, 0);
  const answer = await pass(model, cache, [[0, tokens.slice(0, prompt)]]);
  for (const token of tokens.slice(prompt)) answer.push(...(await pass(model, cache, [[0, [token]]])));
  return answer;
}

async function together(model: Model, all: readonly Client[], dtype: 'float32' | 'float16'): Promise<Answer[]> {
  const capacity = Math.max(...all.map(({ tokens }) => tokens.length));
  using cache = model.createCache({ slots: all.length, capacity, dtype });
  const answers: Answer[] = all.map(() => []);
  const ends = all.map(({ pieces, tokens }) => {
    let end = 0;
    const prompt = pieces.map((piece) => (end += piece));
    return [...prompt, ...tokens.slice(end).map((_, i) => end + i + 1)];
  });
  for (let step = 0; ends.some((left) => left.length > 0); step++) {
    const now = [...all.keys()].filter((at) => all[at].arrival <= step && ends[at].length > 0);
    if (now.length === 0) continue;
    // The last comer first: the order of a batch does not matter either.
    const pieces = now.reverse().map((at) => [at, all[at].tokens.slice(cache.lengths[at], ends[at].shift())] as const);
    const logits = await pass(model, cache, pieces);
    now.forEach((at, row) => {
      const { pieces: prompt, tokens } = all[at];
      if (tokens.length - ends[at].length >= prompt.reduce((sum, piece) => sum + piece, 0))
        answers[at].push(logits[row]);
    });
  }
  return answers;
}

const backends: readonly TestedBackend[] = [
  ['wasm', () => createEngine('wasm', { threads: 2 }), 'wasm'],
  ...wasmWithSmallTiles,
];

describe.each(backends)('%s', (_, create) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await create()));
  afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
  afterAll(() => engine.dispose());

  it('a sequence gives the same bits among others', async () => {
    const cases = modelSpecs().chain((spec) =>
      fc.record({
        spec: fc.constant(spec),
        held: fc.constantFrom(...(Object.keys(quantizers) as (keyof typeof quantizers)[])),
        dtype: fc.constantFrom('float32' as const, 'float16' as const),
        all: clients(spec.config.vocabSize!, 9),
        drops: dropSets(spec.config.numHiddenLayers!),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ spec, held, dtype, all, drops }) => {
        using model = await createModel(spec.config, { seed: spec.seed, engine, quantize: quantizers[held] });
        model.skip(drops);
        const answers = await together(model, all, dtype);
        for (const [at, client] of all.entries()) expect(answers[at]).toEqual(await alone(model, client, dtype));
      }),
      { numRuns: 30 },
    );
  });
});

it('also behind so many keys that tokens share them out, in passes of more rows than tiles have', async () => {
  using engine = await createEngine('wasm', { threads: 2 });
  const config = {
    vocabSize: 50,
    hiddenSize: 64,
    intermediateSize: 96,
    numHiddenLayers: 2,
    numAttentionHeads: 6,
    numKeyValueHeads: 2,
    headDim: 16,
    maxPositionEmbeddings: 1024,
  };
  const all = Array.from({ length: 13 }, (_, at): Client => {
    const pieces = [[1], [2, 90], [255], [100, 200, 2], [256]][at % 5];
    const length = pieces.reduce((sum, piece) => sum + piece, 6);
    return { arrival: at % 4, pieces, tokens: Array.from({ length }, (_, i) => (7 * i + at) % 50) };
  });
  for (const held of ['floats', 'int4'] as const) {
    using model = await createModel(config, { seed: 3, engine, quantize: quantizers[held] });
    for (const dtype of ['float32', 'float16'] as const) {
      const answers = await together(model, all, dtype);
      for (const [at, client] of all.entries()) expect(answers[at]).toEqual(await alone(model, client, dtype));
    }
  }
});
