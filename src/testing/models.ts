import fc from 'fast-check';
import { familyOf, modelTypes, type ModelConfig, type PartialConfig, type RopeParameters } from '../models/index.js';
import { ropeParameters } from './rope.js';

/** What `createModel(config, { seed, engine })` makes a random model of. */
export interface ModelSpec {
  readonly config: PartialConfig;
  readonly seed: number;
}

export interface ModelConfigOptions {
  /** @defaultValue 3 */
  readonly maxLayers?: number;
  /** @defaultValue those of all families */
  readonly types?: readonly string[];
  /** @defaultValue every scaling that there is, and none */
  readonly rope?: fc.Arbitrary<RopeParameters>;
}

/** Configs of tiny models of every family: grouped heads, windows, biases, ties, rope scalings, experts. */
export function modelConfigs(o: ModelConfigOptions = {}): fc.Arbitrary<PartialConfig> {
  const { maxLayers = 3, types = modelTypes(), rope = ropeParameters() } = o;
  return fc
    .record({
      modelType: fc.constantFrom(...types),
      layers: fc.integer({ min: 1, max: maxLayers }),
      keyValueHeads: fc.constantFrom(1, 2, 3),
      group: fc.constantFrom(1, 2),
      headDim: fc.constantFrom(2, 4, 6, 8),
      hiddenSize: fc.integer({ min: 3, max: 24 }),
      intermediateSize: fc.integer({ min: 1, max: 40 }),
      vocabSize: fc.integer({ min: 5, max: 60 }),
      tieWordEmbeddings: fc.boolean(),
      bias: fc.boolean(),
      window: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
      rope,
      experts: fc.integer({ min: 1, max: 5 }),
      topK: fc.integer({ min: 1, max: 5 }),
    })
    .map((c) => ({
      modelType: c.modelType,
      numHiddenLayers: c.layers,
      numAttentionHeads: c.keyValueHeads * c.group,
      numKeyValueHeads: c.keyValueHeads,
      headDim: c.headDim,
      hiddenSize: c.hiddenSize,
      intermediateSize: c.intermediateSize,
      vocabSize: c.vocabSize,
      maxPositionEmbeddings: 64,
      tieWordEmbeddings: c.tieWordEmbeddings,
      rope: c.rope,
      ...only(variedKeys(c.modelType), {
        attentionBias: c.bias,
        mlpBias: c.bias,
        slidingWindow: c.window,
        numLocalExperts: c.experts,
        numExpertsPerTok: Math.min(c.topK, c.experts),
      }),
      familyKeys: familyOf(c.modelType)?.ownKeys?.(c),
    }));
}

/** The keys that a family varies beside its sizes. */
const variedKeys = (type: string): readonly (keyof ModelConfig)[] => familyOf(type)?.varies ?? [];

const only = (keys: readonly (keyof ModelConfig)[], values: Partial<ModelConfig>): Partial<ModelConfig> =>
  Object.fromEntries(keys.map((key) => [key, values[key]]));

/** Random models: a config and the seed of its weights. */
export function modelSpecs(o: ModelConfigOptions = {}): fc.Arbitrary<ModelSpec> {
  return fc.record({ config: modelConfigs(o), seed: fc.nat(1e6) });
}
