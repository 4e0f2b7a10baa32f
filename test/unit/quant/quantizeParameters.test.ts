import { describe, expect, it } from 'vitest';
import { arraySource } from '../../../src/engine/arraySource.js';
import { isInt4 } from '../../../src/engine/int4.js';
import { sizeOf } from '../../../src/engine/tensor.js';
import { allWeights, describeConfig, theWeight, type WeightSpec } from '../../../src/models/index.js';
import {
  asBfloat16,
  quantizeParameters,
  randomInt4,
  randomQuantizer,
  type Int4Options,
} from '../../../src/quant/index.js';

const specsOf = (modelType: string, tieWordEmbeddings: boolean): WeightSpec[] =>
  allWeights(
    describeConfig({
      modelType,
      tieWordEmbeddings,
      vocabSize: 10,
      hiddenSize: 8,
      intermediateSize: 12,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
      ...(modelType === 'llama' ? { attentionBias: true } : { numLocalExperts: 2, numExpertsPerTok: 1 }),
    }),
  );

/** What each matrix of a model is stored as. */
function stored(modelType: string, tied: boolean, options: Int4Options): Record<string, string> {
  const parameters = {
    folder: 'test',
    has: () => true,
    source: (name: string) => arraySource(new Float32Array(0), [0], { name }),
  };
  const { quantize } = quantizeParameters(parameters, options);
  const matrices = specsOf(modelType, tied).filter(({ use }) => use !== 'vector');
  return Object.fromEntries(
    matrices.map((spec) => [
      spec.path,
      quantize!(arraySource(new Float32Array(sizeOf(spec.shape)), spec.shape), spec).dtype,
    ]),
  );
}

describe('quantized parameters', () => {
  it('projections become int4, the embedding and the head as asked', () => {
    const projections = Object.fromEntries(
      ['attention.q', 'attention.k', 'attention.v', 'attention.o', 'mlp.gate', 'mlp.up', 'mlp.down'].map((path) => [
        `${path}.weight`,
        'int4',
      ]),
    );
    expect(stored('llama', false, {})).toEqual({ ...projections, embedding: 'bfloat16', head: 'bfloat16' });
    expect(stored('llama', false, { head: 'int4' })).toEqual({ ...projections, embedding: 'int4', head: 'int4' });
    expect(stored('llama', true, { head: 'int4' })).toEqual({ ...projections, embedding: 'int4' });
    expect(stored('llama', true, { head: 'float' })).toEqual({ ...projections, embedding: 'float32' });
  });

  it('experts become int4, their router stays', () => {
    const { 'mlp.router.weight': router, ...rest } = stored('mixtral', false, { head: 'int4' });
    expect(router).toBe('float32');
    expect(new Set(Object.values(rest))).toEqual(new Set(['int4']));
  });

  it('bfloat16 rounds what is not bfloat16', async () => {
    const source = asBfloat16(arraySource(Float32Array.of(1, 1.00001, 2, 3), [2, 2]));
    expect(new Uint16Array((await source.readRows(0, 2)).slice().buffer)).toEqual(
      Uint16Array.of(0x3f80, 0x3f80, 0x4000, 0x4040),
    );
  });
});

describe('random int4 weights', () => {
  it('are the same for the same seed and name, however they are read', async () => {
    const source = randomInt4('w', [9, 70], { seed: 3, groupSize: 64, symmetric: false });
    const [whole, part] = [await source.readInt4(0, 9), await source.readInt4(4, 6)];
    expect(part.quants).toEqual(whole.quants.slice(4 * 35, 6 * 35));
    expect([whole.scales.length, whole.zeros!.length]).toEqual([18, 18]);
    expect((await randomInt4('w', [9, 70], { seed: 4, groupSize: 64 }).readInt4(0, 9)).quants).not.toEqual(
      whole.quants,
    );
    expect((await randomInt4('v', [9, 70], { seed: 3, groupSize: 64 }).readInt4(0, 9)).quants).not.toEqual(
      whole.quants,
    );
  });

  it('lie evenly about zero with a deviation of 1 / sqrt(in)', async () => {
    const source = randomInt4('w', [256, 512]);
    const { dequantizeRows } = await import('../../../src/engine/int4.js');
    const values = dequantizeRows(await source.readInt4(0, 256), 512, source.format);
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
    // 131072 samples: the mean is within 5 of its deviations, the deviation within 1 %.
    expect(Math.abs(mean)).toBeLessThan((5 * 512 ** -0.5) / Math.sqrt(131072));
    expect(deviation * Math.sqrt(512)).toBeCloseTo(1, 1);
  });

  it('replace float weights that are never read', () => {
    const weights = specsOf('llama', false);
    const unread = {
      name: 'up',
      shape: [8, 4],
      dtype: 'float32' as const,
      readRows: () => Promise.reject(new Error('read')),
    };
    expect(isInt4(randomQuantizer()(unread, theWeight(weights, 'up')))).toBe(true);
    expect(randomQuantizer({ head: 'float' })(unread, theWeight(weights, 'head'))).toBe(unread);
  });
});
