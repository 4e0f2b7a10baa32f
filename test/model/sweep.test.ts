/** The numbers of a sweep against the functions that they should equal. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/index.js';
import { createModel, loadModel, modelSize, type Drops, type LoadedModel, type Model } from '../../src/models/index.js';
import { fingerprintDifferences, fingerprintOf } from '../../src/progress/index.js';
import { scoreImportance, searchGreedily, selectDrops, sweep, type SweepState } from '../../src/drop/index.js';
import { ReferenceOutputs, compareDecodeSpeeds, computeLogits, evaluateLoss } from '../../src/evaluate/index.js';
import { oracleFolders } from '../support/oracleCases.js';

const none: Drops = { attention: [], mlp: [] };
const tokens = (seed: number, length: number, vocabulary = 50): Int32Array =>
  Int32Array.from({ length }, (_, i) => (i * (seed + 3) + seed * seed) % vocabulary);

let engine: Engine;
beforeAll(async () => void (engine = await createEngine('wasm')));
afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
afterAll(() => engine.dispose());

describe('outputs held against those of the whole model', () => {
  const config = {
    vocabSize: 50,
    hiddenSize: 24,
    intermediateSize: 40,
    numHiddenLayers: 4,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    maxPositionEmbeddings: 512,
  };
  const drops: Drops = { attention: [1], mlp: [2, 3] };

  /** KL and agreement of all positions, from logits in float64. */
  async function plainly(
    model: Model,
    rows: readonly Int32Array[],
  ): Promise<{ divergence: number; agreement: number }> {
    let [divergence, agreeing, positions] = [0, 0, 0];
    const V = model.config.vocabSize;
    for (const row of rows) {
      model.setDrops(none);
      const before = (await computeLogits(model, [[...row]])).logits;
      model.setDrops(drops);
      const after = (await computeLogits(model, [[...row]])).logits;
      for (let at = 0; at < row.length; at++) {
        const [p, q] = [before, after].map((logits) => logProbabilities(logits.subarray(at * V, (at + 1) * V)));
        divergence += p.reduce((sum, log, i) => sum + Math.exp(log) * (log - q[i]), 0);
        agreeing += p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q)) ? 1 : 0;
        positions++;
      }
    }
    return { divergence: divergence / positions, agreement: agreeing / positions };
  }

  function logProbabilities(logits: Float32Array): number[] {
    const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0)) + most;
    return Array.from(logits, (x) => x - total);
  }

  it('loss, KL and agreement are what logits give', async () => {
    using model = await createModel(config, { seed: 5, engine });
    const rows = [tokens(1, 24), tokens(2, 17)];
    using reference = await ReferenceOutputs.of(model, rows);
    expect(await reference.compare()).toMatchObject({ divergence: 0, agreement: 1 });
    const expected = await plainly(model, rows);
    const compared = await reference.compare();
    const { loss, perplexity, rowLosses, tokens: count } = await evaluateLoss(model, rows);
    expect(compared).toMatchObject({ loss, perplexity, rowLosses, tokens: count, agreement: expected.agreement });
    expect(compared.divergence).toBeCloseTo(expected.divergence, 5);
    expect(compared.agreement).toBeLessThan(1);
  });

  it('a vocabulary too large for all logits at once is taken in chunks of rows', async () => {
    using model = await createModel(
      { ...config, vocabSize: 60_000, hiddenSize: 8, numHiddenLayers: 1 },
      { seed: 1, engine },
    );
    const rows = [tokens(3, 300, 60_000)];
    using reference = await ReferenceOutputs.of(model, rows);
    engine.resetPeak();
    const before = engine.memory().bytes;
    expect((await reference.compare()).agreement).toBe(1);
    expect(engine.peakBytes - before).toBeLessThan(2 ** 26);
  });

  it('speeds are the fastest of the rounds after the first, under the drops, which are restored', async () => {
    using model = await createModel(config, { seed: 5, engine });
    const half: Drops = { attention: [0, 1], mlp: [0, 1] };
    const [tokens, rounds] = [20, 3];
    // A clock that passes takes move: a millisecond for each module run, by what the round makes of it.
    const slowness = [0.5, 2, 1, 3];
    let [now, passes] = [0, 0];
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    const forward = model.forwardYielding.bind(model);
    const pass = vi.spyOn(model, 'forwardYielding').mockImplementation((...given) => {
      const { attention, mlp } = model.drops;
      now += (8 - attention.length - mlp.length) * slowness[Math.floor(passes++ / (2 * tokens))];
      return forward(...given);
    });
    try {
      expect(await compareDecodeSpeeds(model, [none, half], [1, 2], { tokens, rounds })).toEqual([1000 / 8, 1000 / 4]);
    } finally {
      clock.mockRestore();
      pass.mockRestore();
    }
    expect(passes).toBe(2 * tokens * (rounds + 1));
    expect(model.drops).toEqual(none);
  });
});

describe('a sweep', () => {
  const { folder } = oracleFolders().find(({ name }) => name.startsWith('fixtures/llama'))!;
  const calibration = [tokens(1, 24), tokens(2, 24)];
  const heldOut = [
    { name: 'a', rows: [tokens(4, 24), tokens(5, 24)] },
    { name: 'b', rows: [tokens(6, 24)] },
  ];
  const rows = { calibration, heldOut };
  const plain = { targets: ['attention', 'joint'] as const, counts: [2, 1], speed: false };
  const withModel = async <T>(use: (model: LoadedModel) => Promise<T>): Promise<T> => {
    await using model = await loadModel(folder, { engine });
    return await use(model);
  };

  it('measures what the separate functions measure, and restores the flags', () =>
    withModel(async (model) => {
      const importance = await scoreImportance(model, calibration);
      const { whole, points } = await sweep(model, rows, plain);
      expect(model.drops).toEqual(none);
      const all = heldOut.flatMap((text) => text.rows);
      expect(whole.loss).toBeCloseTo((await evaluateLoss(model, all)).loss, 12);
      expect(points.map(({ target, count }) => [target, count])).toEqual([
        ['attention', 1],
        ['attention', 2],
        ['joint', 1],
        ['joint', 2],
      ]);
      for (const { target, count, drops, loss, texts, ...point } of points) {
        expect(drops).toEqual(selectDrops(importance, target, count));
        expect(point).toMatchObject(modelSize(model.source, model.description, drops));
        model.setDrops(drops);
        expect(loss).toBeCloseTo((await evaluateLoss(model, all)).loss, 12);
        for (const [i, text] of texts.entries())
          expect(text.loss).toBeCloseTo((await evaluateLoss(model, heldOut[i].rows)).loss, 12);
        model.setDrops(none);
      }
    }));

  it('by a greedy search is one search, whose steps are saved as they come', () =>
    withModel(async (model) => {
      const states: SweepState[] = [];
      const options = { targets: ['joint'] as const, counts: [1, 3], speed: false, search: 'greedy-kl' as const };
      const result = await sweep(model, rows, { ...options, onChange: (state) => void states.push(state) });
      const { steps } = await searchGreedily(model, calibration, { target: 'joint', count: 3 });
      model.setDrops(none);
      expect(result.steps.joint).toEqual(steps);
      expect(states.map((state) => [state.steps.joint?.length ?? 0, state.points.length])).toEqual([
        [0, 0],
        [1, 0],
        [1, 1],
        [2, 1],
        [3, 1],
        [3, 2],
      ]);
      for (const done of states) expect(await sweep(model, rows, { ...options, done })).toEqual(result);
    }));

  it('keeps what the model had dropped before', () =>
    withModel(async (model) => {
      model.skip({ attention: [1] });
      const { whole, points } = await sweep(model, rows, { ...plain, targets: ['attention'], counts: [1] });
      expect(whole.drops.attention).toEqual([1]);
      expect(points[0].drops.attention).toHaveLength(2);
      expect(points[0].drops.attention).toContain(1);
    }));

  it('refuses what cannot be dropped before any work', () =>
    withModel(async (model) => {
      const stage = (): never => expect.unreachable('work began');
      await expect(sweep(model, rows, { ...plain, counts: [1, 99], stage })).rejects.toThrow(
        "cannot drop 99 of target 'attention'",
      );
      await expect(sweep(model, rows, { ...plain, metric: 'gate-norm', stage })).rejects.toThrow(
        '`metric` gate-norm scores attentions only',
      );
    }));
});

describe('a fingerprint', () => {
  const config = {
    vocabSize: 50,
    hiddenSize: 24,
    intermediateSize: 40,
    numHiddenLayers: 2,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
  };
  const rows = [tokens(1, 8), tokens(2, 8)];
  const input = {
    rows: { text: rows },
    settings: { metric: 'cosine', seed: undefined as number | undefined },
    version: '1',
  };

  it('is the same for the same, and tells what differs', async () => {
    using model = await createModel(config, { seed: 1, engine });
    using other = await createModel(config, { seed: 2, engine });
    const first = await fingerprintOf({ model, ...input });
    const differences = async (change: object): Promise<string[]> =>
      fingerprintDifferences(first, await fingerprintOf({ model, ...input, ...change }));
    expect(await differences({})).toEqual([]);
    expect(await differences({ model: other })).toEqual(['weights']);
    expect(await differences({ rows: { text: [...rows].reverse() } })).toEqual(['text']);
    expect(await differences({ rows: { text: [Int32Array.from([...rows[0], ...rows[1]])] } })).toEqual(['text']);
    expect(await differences({ settings: { metric: 'angular', seed: 1 } })).toEqual(['metric', 'seed']);
    expect(await differences({ version: '2' })).toEqual(['version of llm-drop']);
    model.skip({ mlp: [0] });
    expect(await differences({})).toEqual(['dropped modules']);
  });

  it('notices a change at either end of a tensor', async () => {
    using model = await createModel(config, { seed: 1, engine });
    const first = await fingerprintOf({ model, ...input });
    for (const at of [0, -4]) {
      const { parameters } = model;
      const changed = {
        ...parameters,
        source: (name: string) => {
          const source = parameters.source(name);
          if (name !== 'model.layers.1.mlp.down_proj.weight') return source;
          const readRows = async (start: number, end: number): Promise<Uint8Array> => {
            const bytes = (await source.readRows(start, end)).slice();
            const touched = at === 0 ? start === 0 : end === source.shape[0];
            if (touched) bytes[at === 0 ? 0 : bytes.length - 4] ^= 1;
            return bytes;
          };
          return { ...source, readRows };
        },
      };
      const { config: c, description, drops } = model;
      const now = await fingerprintOf({
        model: { config: c, description, drops, engine, parameters: changed },
        ...input,
      });
      expect(fingerprintDifferences(first, now)).toEqual(['weights']);
    }
  });
});
