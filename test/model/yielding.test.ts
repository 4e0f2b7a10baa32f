/** Passes that let others have their turn, and several users of one engine at the same time. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { computeLogits, evaluateLoss } from '../../src/evaluate/index.js';
import { CacheError, createBatch, type Engine } from '../../src/engine/index.js';
import { scoreImportance } from '../../src/drop/index.js';
import { walkRows } from '../../src/walk/index.js';
import { createModel, generate, type Model } from '../../src/models/index.js';
import { allBackends } from '../support/allBackends.js';

const config = {
  modelType: 'llama',
  vocabSize: 60,
  hiddenSize: 32,
  intermediateSize: 48,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
  eosTokenIds: [],
} as const;
const tokens = (seed: number, length: number): Int32Array =>
  Int32Array.from({ length }, (_, i) => (i * (seed + 3) + seed) % config.vocabSize);

describe.each(allBackends)('on %s', (_, create) => {
  async function withModel(work: (model: Model, engine: Engine) => Promise<void>): Promise<void> {
    using engine = await create();
    const before = engine.memory().tensors;
    {
      using model = await createModel(config, { engine });
      await work(model, engine);
    }
    expect(engine.memory().tensors).toBe(before);
  }

  afterEach(() => void vi.restoreAllMocks());

  /** Each look at the clock finds 20 ms gone. */
  function slowClock(): void {
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => (now += 20));
  }

  it('a long pass gives way between layers, to the same bits', () =>
    withModel(async (model, engine) => {
      slowClock();
      const batch = createBatch([tokens(1, 9), tokens(2, 5)]);
      for (const last of [false, true]) {
        using _scope = engine.scope();
        using cache = model.createCache({ slots: 2, capacity: 16 });
        using other = model.createCache({ slots: 2, capacity: 16 });
        const expected = await engine.readFloats(model.forward(batch, { cache, last }));
        let turns = 0;
        const count = (): void => void (turns++, (immediate = setImmediate(count)));
        let immediate = setImmediate(count);
        const found = await model.forwardYielding(batch, { cache: other, last });
        clearImmediate(immediate);
        expect(await engine.readFloats(found)).toEqual(expected);
        expect(other.lengths).toEqual(cache.lengths);
        expect(turns).toBeGreaterThanOrEqual(config.numHiddenLayers);
      }
    }));

  it('a short pass does not give way', () =>
    withModel(async (model, engine) => {
      vi.spyOn(performance, 'now').mockReturnValue(0);
      using _scope = engine.scope();
      const turn = vi.fn<() => void>();
      setImmediate(turn);
      await model.forwardYielding(createBatch([tokens(1, 9)]));
      expect(turn).not.toHaveBeenCalled();
    }));

  it('a pass whose skip flags change in its midst is refused, and its memory freed', () =>
    withModel(async (model) => {
      slowClock();
      setImmediate(() => model.skip({ mlp: [3] }));
      await expect(model.forwardYielding(createBatch([tokens(1, 9)]))).rejects.toThrow(CacheError);
    }));

  it('a signal ends a pass in its midst', () =>
    withModel(async (model) => {
      slowClock();
      const aborting = (): AbortSignal => {
        const controller = new AbortController();
        setImmediate(() => controller.abort());
        return controller.signal;
      };
      await expect(evaluateLoss(model, [tokens(1, 9)], { signal: aborting() })).rejects.toThrow(/aborted/);
      expect(await generate(model, tokens(1, 9), { signal: aborting() })).toEqual({ tokens: [], stoppedBy: 'signal' });
    }));

  it('an observer sees all layers, whether rows are handed on or not; within a turn, another runs at once', () =>
    withModel(async (model) => {
      const layers: number[] = [];
      await walkRows(model, [tokens(1, 5)], { observer: { stream: (layer) => void layers.push(layer) } });
      expect(layers).toEqual([0, 1, 2, 3, 4]);
      const losses: number[] = [];
      await walkRows(model, [tokens(1, 5)], {}, async () => {
        losses.push((await evaluateLoss(model, [tokens(2, 6)])).loss);
      });
      expect(losses).toEqual([(await evaluateLoss(model, [tokens(2, 6)])).loss]);
    }));

  it('sequences that are generated and measured at the same time are what they are alone', () =>
    withModel(async (model, engine) => {
      slowClock();
      using shallow = await createModel({ ...config, numHiddenLayers: 1 }, { engine });
      const options = { maxTokens: 5, temperature: 0 };
      const rows = [tokens(4, 12), tokens(5, 7)];
      const works = [
        () => generate(model, tokens(1, 6), options),
        () => generate(shallow, tokens(2, 4), options),
        () => evaluateLoss(model, rows),
        () => evaluateLoss(shallow, rows),
        () => scoreImportance(model, rows),
        () => computeLogits(shallow, [[1, 2, 3]]),
        // Begins amid another's pass.
        () => new Promise(setImmediate).then(() => generate(model, tokens(7, 5), options)),
        () => generate(model, tokens(6, 3), { ...options, cache: false }),
      ];
      const alone = [];
      for (const work of works) alone.push(await work());
      expect(await Promise.all(works.map((work) => work()))).toEqual(alone);
    }));
});
