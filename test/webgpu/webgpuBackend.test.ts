/** What WebGPU alone has: one submit a pass, buffers and their limits, plans, replays, and devices that are lost. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  arraySource,
  createBatch,
  createEngine,
  DeviceLostError,
  Engine,
  type Tensor,
} from '../../src/engine/index.js';
import {
  plainPlan,
  plansFor,
  sharedBytes,
  subgroupPlan,
  widePlan,
  type TilePlan,
} from '../../src/engine/webgpu/layouts/tilePlan.js';
import type { Device } from '../../src/engine/webgpu/runtime/device.js';
import { createWebgpuBackend } from '../../src/engine/webgpu/webgpuBackend.js';
import { createModel, type PartialConfig } from '../../src/models/index.js';
import { rtnQuantizer } from '../../src/quant/index.js';
import { floats, random } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';
import { batch, createBlock, forward, sizes, type Sums } from '../support/forward.js';

/** An engine and its device, with a plan of our choice and weights split at `mostBytes`. */
async function opened(plans?: readonly TilePlan[], mostBytes?: number): Promise<{ engine: Engine; device: Device }> {
  let device: Device | undefined;
  const backend = await createWebgpuBackend((one) => {
    device = one;
    return plans ?? plansFor(one);
  }, mostBytes);
  return { engine: new Engine(backend), device: device! };
}

const sumsOn = (on: Engine): Sums => ({ cosine: on.accumulator(3), gram: on.accumulator(sizes.width ** 2) });
const cacheSpec = { layers: [0], slots: 2, capacity: 16, keyValueHeads: 2, headDim: 4, dtype: 'float16' as const };

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

const withoutWebgpu = !process.env.LLM_DROP_WEBGPU;
if (withoutWebgpu) console.warn('skipped: the webgpu backend (npm run test:webgpu runs it)');

describe.skipIf(withoutWebgpu)('webgpu', () => {
  let oracle: Engine;
  beforeAll(async () => void (oracle = await createEngine('reference')));
  afterAll(() => oracle.dispose());

  it.each([widePlan, subgroupPlan])('products of the plan $name are those of the reference', async (plan) => {
    const { engine, device } = await opened([plan, plainPlan]);
    // Where the adapter has no subgroups, the plan's kernels are refused, and there is nothing to try.
    if (plan.folds === 'memory' || device.features.has('subgroups'))
      expect(engine.backend.abilities.tier).toBe(plan.name);
    const results: ArrayLike<number>[][] = [];
    for (const on of [engine, oracle]) {
      const [weight, sums] = [await on.pack(arraySource(random(1, [70, 19]), [70, 19]), 'linear'), on.accumulator(361)];
      const scope = on.scope();
      const x = floats(on, 2, [67, 19]);
      const bias = floats(on, 3, [70]);
      const products = [67, 5, 1].map((rows) => on.linear(x.rows(0, rows), [{ weight, bias }])[0]);
      on.gram(x, sums);
      results.push([...(await Promise.all(products.map((y) => on.readFloats(y)))), await on.readAccumulator(sums)]);
      scope.dispose();
      weight.dispose();
      sums.dispose();
    }
    // A rounding for each of at most 67 terms below 1, or of 19 below 1 and a bias.
    results[0].forEach((actual, i) => expectClose(actual, results[1][i], 67 * 67 * unitRoundoff));
    engine.dispose();
  });

  it('a pass is one submit, and reads nothing', async () => {
    const { engine, device } = await opened();
    const [block, sums] = [await createBlock(engine), sumsOn(engine)];
    using cache = engine.createCache(cacheSpec);
    await engine.read(forward(engine, block, batch, sums).logits); // what waited for it is gone
    const submit = vi.spyOn(device.gpu.queue, 'submit');
    const { logits } = forward(engine, block, batch, sums, { cache });
    forward(engine, block, createBatch([[7], [8]], [7, 4]), sums, { cache });
    expect(submit).not.toHaveBeenCalled();
    await engine.read(engine.argmax(logits));
    expect(submit).toHaveBeenCalledTimes(1);
    engine.dispose();
  });

  it('makes no buffer and no bind group for a pass like the one before', async () => {
    const { engine, device } = await opened();
    const [block, sums] = [await createBlock(engine), sumsOn(engine)];
    const pass = async (): Promise<void> => {
      using _scope = engine.scope();
      await engine.read(forward(engine, block, createBatch([[3, 1, 4]]), sums).logits);
    };
    await pass();
    await pass();
    const made = vi.spyOn(device.gpu, 'createBuffer');
    const bound = vi.spyOn(device.gpu, 'createBindGroup');
    await pass();
    expect(made).toHaveBeenCalledTimes(1); // where the read goes
    expect(bound).not.toHaveBeenCalled();
    engine.dispose();
  });

  it('a weight that is larger than a binding is split between rows, an expert too', async () => {
    // Seven rows of 8 floats a buffer.
    const { engine } = await opened(undefined, 7 * 32);
    const shape = [3, 10, 8];
    const results: Float32Array[] = [];
    for (const on of [engine, oracle]) {
      const values = random(1, shape);
      const table = await on.pack(arraySource(values, [30, 8]), 'both');
      const [gate, up] = await Promise.all([0, 1].map((i) => on.pack(arraySource(random(i, shape), shape), 'experts')));
      const down = await on.pack(arraySource(random(5, [3, 8, 10]), [3, 8, 10]), 'experts');
      const router = await on.pack(arraySource(random(6, [3, 8]), [3, 8]), 'linear');
      const scope = on.scope();
      for (const rows of [1, 40]) {
        const x = floats(on, 9, [rows, 8]);
        const experts = { gate: { weight: gate }, up: { weight: up }, down: { weight: down } };
        const embedded = on.embed(table, createBatch([[0, 6, 7, 29, 13]]));
        const mixed = on.moe(x, router, experts, { topK: 2, normalise: true });
        for (const y of [embedded, on.linear(x, [{ weight: table }])[0], mixed]) results.push(await on.readFloats(y));
      }
      scope.dispose();
      for (const weight of [table, gate, up, down, router]) weight.dispose();
    }
    for (let i = 0; i < 6; i++) expectClose(results[i], results[i + 6], 60 * unitRoundoff * largest(results[i + 6]));
    engine.dispose();
  });

  const config: PartialConfig = {
    ...{ vocabSize: 50, hiddenSize: 64, intermediateSize: 96, numHiddenLayers: 2 },
    ...{ numAttentionHeads: 6, numKeyValueHeads: 2, headDim: 16, maxPositionEmbeddings: 256 },
  };

  it.each([
    ['float32', {}],
    ['float16', { numLocalExperts: 3, modelType: 'mixtral' }],
  ] as const)('a step that is replayed is what it is anew, also in another %s cache', async (dtype, special) => {
    const { engine } = await opened();
    const quantize = dtype === 'float16' ? undefined : rtnQuantizer({ groupSize: 32 });
    {
      using model = await createModel({ ...config, ...special }, { seed: 5, engine, quantize });
      const record = vi.spyOn(engine.backend as Required<Engine['backend']>, 'record');
      const steps = async (replayed: boolean, capacity: number): Promise<Float32Array[]> => {
        using cache = model.createCache({ slots: 2, capacity, dtype });
        const results: Float32Array[] = [];
        for (let at = 0; at < 5; at++) {
          using _scope = engine.scope();
          const tokens = createBatch([[at], [at + 7]], [at, at]);
          const hidden: Tensor = model.forward(tokens, { cache, ...(replayed ? {} : { observer: {} }) });
          results.push(await engine.readFloats(hidden));
        }
        return results;
      };
      const anew = await steps(false, 9);
      expect(await steps(true, 9)).toEqual(anew);
      expect(await steps(true, 12)).toEqual(anew);
      expect(record).toHaveBeenCalledTimes(1);
    }
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    engine.dispose();
  });

  it('a running sum of four thousand terms has not their rounding errors', async () => {
    const { engine } = await opened();
    using sum = engine.accumulator(1);
    using term = engine.tensor([Math.sqrt(0.1)], [1, 1]);
    const added = Math.fround(Math.fround(Math.sqrt(0.1)) ** 2);
    for (let i = 0; i < 4000; i++) engine.gram(term, sum);
    const [total] = await engine.readAccumulator(sum);
    expect(Math.abs(total / (4000 * added) - 1)).toBeLessThan(1e-7); // float32 alone is off by some 1e-6
    engine.dispose();
  });

  it('a device that is lost is an error of its own, and a new engine works', async () => {
    const { engine, device } = await opened();
    using x = engine.tensor([1, 2]);
    device.gpu.destroy();
    await device.gpu.lost;
    await expect(engine.read(x)).rejects.toThrow(DeviceLostError);
    expect(() => engine.add(x, x)).toThrow(DeviceLostError);
    engine.dispose();
    const { engine: next } = await opened();
    expect([...(await next.read(next.tensor([3])))]).toEqual([3]);
    next.dispose();
  });

  it('goes on with the next plan where kernels of the first are wrong', async () => {
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    // Lanes that do not fit a workgroup.
    const wrong = { ...plainPlan, name: 'wrong', rowLanes: 64, columnLanes: 64 };
    const { engine } = await opened([wrong, plainPlan]);
    expect(engine.backend.abilities.tier).toBe('plain');
    expect(told).toHaveBeenCalledWith('Kernels of the plan wrong fail their test here; going on with plain.\n');
    told.mockRestore();
    expect([...(await engine.read(engine.tensor([3])))]).toEqual([3]);
    engine.dispose();
  });

  it('names adapter, driver and features', async () => {
    const { engine } = await opened();
    const { adapter, driver, features } = engine.backend.abilities;
    for (const text of [adapter, driver, features]) expect(text).toMatch(/./);
    engine.dispose();
  });
});

it('a plan takes no more than an adapter has', () => {
  const limits = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384 };
  const adapter = { limits, features: new Set(['subgroups']), software: false };
  expect(plansFor(adapter)).toEqual([subgroupPlan, widePlan, plainPlan]);
  expect(plansFor({ ...adapter, features: new Set() })).toEqual([widePlan, plainPlan]);
  expect(plansFor({ ...adapter, software: true })).toEqual([plainPlan]);
  for (const small of [{ maxComputeInvocationsPerWorkgroup: 128 }, { maxComputeWorkgroupStorageSize: 4096 }])
    expect(plansFor({ ...adapter, limits: { ...limits, ...small } })).toEqual([plainPlan]);
  for (const plan of [plainPlan, widePlan]) expect(sharedBytes(plan)).toBeLessThanOrEqual(16384);
});

it('without the package there is a sentence that says what to install', async () => {
  const { loadGpu } = await import('../../src/engine/webgpu/runtime/load.js');
  if (withoutWebgpu)
    await expect(loadGpu(() => false)).rejects.toThrow('the webgpu backend needs WebGPU: run npm install webgpu');
});
