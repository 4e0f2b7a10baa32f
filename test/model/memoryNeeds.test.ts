import { describe, expect, it } from 'vitest';
import {
  createEngine,
  encodeFloats,
  decodeFloats,
  type WeightDType,
  type WeightSource,
} from '../../src/engine/index.js';
import { createModel, fitsMemory, memoryNeeds, type Quantize } from '../../src/models/index.js';
import { int8Quantizer, randomQuantizer, rtnQuantizer } from '../../src/quant/index.js';

/** Sizes that fill whole panels, so that nothing is rounded up. */
const config = {
  modelType: 'llama',
  hiddenSize: 128,
  intermediateSize: 256,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  vocabSize: 320,
};

const storedAs =
  (dtype: WeightDType): Quantize =>
  (source): WeightSource => ({
    ...source,
    dtype,
    readRows: async (start, end) => encodeFloats(decodeFloats(await source.readRows(start, end), source.dtype), dtype),
  });

describe('the memory that a model needs', () => {
  it.each([
    ['float32', undefined],
    ['bfloat16', storedAs('bfloat16')],
    ['float16', storedAs('float16')],
    ['int4, head in bfloat16', rtnQuantizer()],
    ['int4, head too', rtnQuantizer({ head: 'int4' })],
    ['int4 with zero points', rtnQuantizer({ symmetric: false, head: 'int4' })],
    ['int8', int8Quantizer()],
    ['int8, head in bfloat16', int8Quantizer({ head: 'bf16' })],
    ['int4 in groups of 64', randomQuantizer({ groupSize: 64 })],
  ] as const)('is what it takes: %s', async (_, quantize) => {
    using engine = await createEngine('wasm', { threads: 1 });
    using model = await createModel(config, { engine, quantize });
    const needs = memoryNeeds(model, 16);
    expect(needs.weights).toBe(model.bytes);
    expect(engine.memory().bytes).toBe(model.bytes);
    const all = needs.weights + needs.row + needs.program;
    expect(fitsMemory(model, { bytes: all, rowLength: 16 })).toBe(true);
    expect(fitsMemory(model, { bytes: all - 1, rowLength: 16 })).toBe(false);
  });
});
