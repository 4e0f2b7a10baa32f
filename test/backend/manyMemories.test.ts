import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { createBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { Machine } from '../../src/engine/wasm/runtime/machine.js';
import { createWasmBackend } from '../../src/engine/wasm/wasmBackend.js';
import { createModel, type PartialConfig } from '../../src/models/index.js';
import { int8Quantizer, rtnQuantizer } from '../../src/quant/index.js';
import { holds, random, seed, weight } from '../support/backends.js';

const pageBytes = 65536;

const engineOf = async (threads: number, pages?: number): Promise<Engine> =>
  new Engine(await createWasmBackend({ threads }, pages));

/** A layer of a cache that takes 64 bytes a token. */
const cacheOf64Bytes = { layers: [0], slots: 1, keyValueHeads: 1, headDim: 8, dtype: 'float32' } as const;

const config: PartialConfig = {
  modelType: 'llama',
  hiddenSize: 128,
  intermediateSize: 320,
  numHiddenLayers: 8,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  vocabSize: 500,
  maxPositionEmbeddings: 256,
  attentionBias: true,
};
const mixtral: PartialConfig = {
  ...config,
  modelType: 'mixtral',
  attentionBias: false,
  intermediateSize: 96,
  numLocalExperts: 4,
  numExpertsPerTok: 2,
};

holds(
  'a model over several memories computes as in one, bit for bit',
  fc.record({
    seed,
    model: fc.constantFrom(config, mixtral),
    threads: fc.constantFrom(1, 2),
    // What is left of the first memory: the border lies in any layer, and in any weight of it.
    room: fc.integer({ min: 0, max: 900_000 }),
    held: fc.constantFrom('floats' as const, 'int4' as const, 'int8' as const),
    dtype: fc.constantFrom('float32' as const, 'float16' as const),
    capacity: fc.constantFrom(40, 250),
  }),
  async ({ seed, model, threads, room, held, dtype, capacity }) => {
    const run = async (pages?: number): Promise<Float32Array[]> => {
      const beside = vi.spyOn(Machine.prototype, 'beside').mockClear();
      const engine = await engineOf(threads, pages);
      const taken = pages ? Math.floor((7 / 8) * pages * pageBytes) - 100_000 * threads - room : 64;
      using _taken = engine.createCache({ ...cacheOf64Bytes, capacity: Math.floor(taken / 64) });
      const outputs: Float32Array[] = [];
      const quantizers = { floats: undefined, int4: rtnQuantizer({ head: 'int4' }), int8: int8Quantizer() };
      const loaded = await createModel(model, { engine, seed, quantize: quantizers[held] });
      const cache = loaded.createCache({ capacity, dtype, slots: 2 });
      expect(beside.mock.calls.length > 0).toBe(pages !== undefined);
      for (const [length, start] of [
        [20, 0],
        [1, 20],
        [1, 21],
      ] as const) {
        const tokens = Int32Array.from({ length }, (_, i) => (seed + 31 * (i + start)) % 500);
        const scope = engine.scope();
        const hidden = loaded.forward(createBatch([tokens], [start]), { cache });
        outputs.push(await engine.readFloats(loaded.logits(hidden)));
        const sums = engine.accumulator(hidden.shape[1] ** 2);
        engine.gram(hidden, sums);
        outputs.push(Float32Array.from(await engine.readAccumulator(sums)));
        sums.dispose();
        if (length > 1) outputs.push(await engine.readFloats(loaded.losses(hidden, tokens)));
        scope.dispose();
      }
      cache.dispose();
      loaded.dispose();
      expect(engine.memory().tensors).toBe(1);
      engine.dispose();
      return outputs;
    };
    const [actual, expected] = [await run(256), await run()];
    expect(actual.map((values) => Buffer.from(values.buffer).toString('base64'))).toEqual(
      expected.map((values) => Buffer.from(values.buffer).toString('base64')),
    );
  },
  12,
);

it('says what is needed where the machine has less', async () => {
  using engine = await engineOf(1, 64);
  const system = vi.spyOn(process, 'constrainedMemory').mockReturnValue(5e6);
  try {
    using _first = await weight(engine, random(1, [600, 1000]), [600, 1000], 'linear');
    await expect(weight(engine, random(1, [700, 1000]), [700, 1000], 'linear')).rejects.toThrow(
      /^2816000 bytes more are needed, but .* take \d+ of this machine's 5000000 bytes already/,
    );
  } finally {
    system.mockRestore();
  }
});

it('refuses what no memory holds', async () => {
  using engine = await engineOf(1, 64);
  await expect(weight(engine, random(1, [1100, 1000]), [1100, 1000], 'linear')).rejects.toThrow(
    /^4456448 bytes more are needed, but WebAssembly memory holds/,
  );
});
