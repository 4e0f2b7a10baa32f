import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dropBound, parseTest, weightBytes, workOf } from '../../../src/bench/index.js';
import { createEngine, type Engine } from '../../../src/engine/index.js';
import { createModel, type Model } from '../../../src/models/index.js';

/** D 16, I 24, 4 heads of 4 (2 for keys and values), V 32: small enough to count by hand. */
const config = {
  vocabSize: 32,
  hiddenSize: 16,
  intermediateSize: 24,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
};
const attention = 16 * 16 * 2 + 16 * 8 * 2 + 16;
const mlp = 3 * 16 * 24 + 16;
const head = 32 * 16;

describe('the bound for dropping', () => {
  let engine: Engine;
  let model: Model;
  beforeAll(async () => {
    engine = await createEngine('reference');
    model = await createModel(config, { engine });
  });
  afterAll(() => engine.dispose());

  const under = (attentions: number[], mlps: number[], name: string, batch = 1): ReturnType<typeof workOf> => {
    model.setDrops({ attention: attentions, mlp: mlps });
    return workOf(model, parseTest(name, batch), 'float32');
  };

  it('counts the weights of modules that run, as the backend holds them', () => {
    model.setDrops({ attention: [0, 2], mlp: [1] });
    const scale = model.head.bytes / head; // bytes of an element on this backend
    expect(weightBytes(model).head).toBe(model.head.bytes);
    expect(weightBytes(model).layers / scale).toBeCloseTo(2 * attention + 3 * mlp, -1);
  });

  it('counts keys and values that each decoded token sees', () => {
    const [near, far] = [under([], [], 'tg1'), under([], [], 'tg1@d100')];
    expect(far.bytes - near.bytes).toBe(100 * model.kvBytesPerToken());
    expect(far.operations - near.operations).toBe(4 * 4 * 4 * 4 * 100);
  });

  it('counts weights once a step, whatever the batch, and operations for each sequence', () => {
    const [one, four] = [under([], [], 'tg8', 1), under([], [], 'tg8', 4)];
    expect(four.operations).toBe(4 * one.operations);
    expect(four.bytes - one.bytes).toBe(3 * ((8 * 9) / 2) * model.kvBytesPerToken());
  });

  it('reads weights once a prefill', () =>
    expect(under([], [], 'pp64').bytes).toBeLessThan(64 * under([], [], 'tg1').bytes));

  it('is 1 without a drop, and approaches the keys and values saved as the depth grows', () => {
    const whole = under([], [], 'tg1');
    expect(dropBound(parseTest('tg1'), whole, whole).speedup).toBe(1);
    const speedups = ['tg1', 'tg1@d1000', 'tg1@d1000000'].map(
      (name) => dropBound(parseTest(name), under([], [], name), under([1, 3], [], name)).speedup,
    );
    expect(speedups[1]).toBeGreaterThan(speedups[0]);
    expect(speedups[2]).toBeCloseTo(2, 2);
  });

  it('goes by bytes for decoding and by operations for prefill', () => {
    const [whole, dropped] = [
      { bytes: 100, operations: 90 },
      { bytes: 50, operations: 60 },
    ];
    expect(dropBound(parseTest('tg8'), whole, dropped)).toEqual({ bytes: 2, operations: 1.5, speedup: 2 });
    expect(dropBound(parseTest('pp8'), whole, dropped).speedup).toBe(1.5);
  });
});
