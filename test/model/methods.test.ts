/** Ways to choose what goes: rounds, metrics, searches. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, type Engine } from '../../src/engine/index.js';
import { createModel, type Drops, type Model } from '../../src/models/index.js';
import {
  cosine,
  dropIteratively,
  gateNormScores,
  mergeDrops,
  randomSelector,
  scoreImportance,
  searchGreedily,
  selectDrops,
  type Metric,
} from '../../src/drop/index.js';
import { evaluateLoss } from '../../src/evaluate/index.js';

const config = {
  vocabSize: 50,
  hiddenSize: 24,
  intermediateSize: 40,
  numHiddenLayers: 5,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
};
const rows = [0, 1, 2].map((row) => Int32Array.from({ length: 24 }, (_, i) => (i * (row + 3) + row) % 50));

let engine: Engine, model: Model;
beforeAll(async () => {
  engine = await createEngine('wasm');
  model = await createModel(config, { seed: 5, engine });
});
afterEach(() => model.setDrops({ attention: [], mlp: [] }));
afterAll(() => {
  model.dispose();
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
});

describe('metrics', () => {
  it('a metric as a function of products gives what its kernel gives', async () => {
    const slow: Metric = { name: 'cosine', similarity: (dot, aa, bb) => cosine.similarity(dot, aa, bb) };
    const [fused, plain] = [await scoreImportance(model, rows), await scoreImportance(model, rows, { metric: slow })];
    fused.similarity.attention.forEach((value, i) => expect(plain.similarity.attention[i]).toBeCloseTo(value!, 5));
    fused.blockConsecutive
      .flat()
      .forEach((value, i) => value !== null && expect(plain.blockConsecutive.flat()[i]).toBeCloseTo(value, 5));
  });

  it('gate norm is the norm of query-key products over all heads', async () => {
    const { parameters } = model;
    const read = async (name: string): Promise<Float32Array> =>
      new Float32Array((await parameters.source(name).readRows(0, parameters.source(name).shape[0])).slice().buffer);
    const [q, k] = [
      await read('model.layers.2.self_attn.q_proj.weight'),
      await read('model.layers.2.self_attn.k_proj.weight'),
    ];
    const [D, d] = [24, 6];
    let squares = 0;
    for (let head = 0; head < 4; head++)
      for (let i = 0; i < D; i++)
        for (let j = 0; j < D; j++) {
          let sum = 0;
          for (let r = 0; r < d; r++) sum += q[(head * d + r) * D + i] * k[(Math.floor(head / 2) * d + r) * D + j];
          squares += sum ** 2;
        }
    expect((await gateNormScores(model))[2]).toBeCloseTo(-Math.sqrt(squares), 3);
  });

  it('random choices are of a seed', async () => {
    const importance = await scoreImportance(model, rows);
    const choose = (seed: number): Drops => selectDrops(importance, 'joint', 4, { selector: randomSelector(seed) });
    expect(choose(1)).toEqual(choose(1));
    expect([2, 3, 4, 5].map(choose)).not.toEqual(Array.from({ length: 4 }, () => choose(1)));
  });
});

describe('rounds', () => {
  it('score the model as dropped so far', async () => {
    const { drops, rounds } = await dropIteratively(model, rows, { target: 'attention', count: 3, iterations: 3 });
    model.setDrops({ attention: [], mlp: [] });
    for (const round of rounds) {
      const again = await scoreImportance(model, rows);
      expect(round.importance).toEqual(again);
      expect(round.drops).toEqual(selectDrops(again, 'attention', 1));
      model.setDrops(mergeDrops(model.drops, round.drops));
    }
    expect(model.drops).toEqual(drops);
    expect(drops.attention).toHaveLength(3);
  });

  it('of one round is the one-shot choice', async () => {
    const importance = await scoreImportance(model, rows);
    const { drops } = await dropIteratively(model, rows, { target: 'mlp', count: 2 });
    expect(drops).toEqual(selectDrops(importance, 'mlp', 2));
  });
});

describe('greedy search', () => {
  it.each(['loss', 'kl'] as const)(
    'by %s takes at each step the candidate of the least cost, by whole passes',
    async (objective) => {
      const { steps } = await searchGreedily(model, rows, { target: 'joint', count: 2, objective });
      let drops: Drops = { attention: [], mlp: [] };
      const cost = async (candidate: Drops): Promise<number> => {
        model.setDrops(candidate);
        if (objective === 'loss') return (await evaluateLoss(model, rows)).loss;
        let total = 0;
        for (const row of rows) {
          using _scope = engine.scope();
          const hidden = model.forward(createBatch([row]));
          model.setDrops({ attention: [], mlp: [] });
          const values = await engine.readFloats(model.divergences(model.forward(createBatch([row])), hidden));
          model.setDrops(candidate);
          total += values.reduce((sum, value) => sum + value, 0) / row.length / rows.length;
        }
        return total;
      };
      for (const step of steps) {
        const open = (['attention', 'mlp'] as const).flatMap((kind) =>
          [0, 1, 2, 3, 4].filter((i) => !drops[kind].includes(i)).map((i) => ({ attention: [], mlp: [], [kind]: [i] })),
        );
        const costs: number[] = [];
        for (const candidate of open) costs.push(await cost(mergeDrops(drops, candidate)));
        const best = costs.indexOf(Math.min(...costs));
        expect(step.dropped).toEqual(open[best]);
        expect(step.objective).toBeCloseTo(costs[best], 5);
        drops = mergeDrops(drops, step.dropped);
      }
    },
  );

  it('continues from the steps of an interrupted one', async () => {
    const whole = await searchGreedily(model, rows, { target: 'attention', count: 3 });
    model.setDrops({ attention: [], mlp: [] });
    const rest = await searchGreedily(model, rows, { target: 'attention', count: 3, done: whole.steps.slice(0, 1) });
    expect(rest).toEqual(whole);
  });
});
