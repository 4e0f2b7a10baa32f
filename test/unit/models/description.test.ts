/** What families say of their models: what is computed, which weights there are, and where files hold them. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoint/index.js';
import {
  allWeights,
  biasOf,
  completeConfig,
  describeConfig,
  describeModel,
  fusedNames,
  ggufName,
  globalWeights,
  hasExperts,
  isLinear,
  isLlamaLike,
  isProjection,
  isTable,
  layerWeights,
  matrixRole,
  ggufFamily,
  modulesOf,
  outputWeight,
  tensorNames,
  tensorPlaces,
  theWeight,
  withRole,
  type AttentionDescription,
  type LayerDescription,
  type ModelDescription,
  type PartialConfig,
  type WeightSpec,
} from '../../../src/models/index.js';
import { modelConfigs } from '../../../src/testing/index.js';

const sizes = {
  vocabSize: 50,
  hiddenSize: 24,
  intermediateSize: 40,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
};
const described = (config: Partial<PartialConfig> = {}): ModelDescription => describeConfig({ ...sizes, ...config });
const mixtralConfig = { modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 };

/** A weight in one line: its role, its shape, its tensor in either kind of file. */
const line = (weight: WeightSpec): string =>
  `${[weight.role, ...(weight.of ? [weight.of] : [])].join(' of ')} [${weight.shape.join()}] ${weight.names.hf} = ${ggufName(weight)}`;

describe('llama', () => {
  it('has these weights, by role', () => {
    const { layers, ...rest } = described();
    expect(globalWeights({ layers, ...rest }).map(line)).toEqual([
      'embedding [50,24] model.embed_tokens.weight = token_embd.weight',
      'norm [24] model.norm.weight = output_norm.weight',
      'head [50,24] lm_head.weight = output.weight',
    ]);
    expect(layerWeights(layers[2]).map(line)).toEqual([
      'norm [24] model.layers.*.input_layernorm.weight = blk.2.attn_norm.weight',
      'query [32,24] model.layers.*.self_attn.q_proj.weight = blk.2.attn_q.weight',
      'key [16,24] model.layers.*.self_attn.k_proj.weight = blk.2.attn_k.weight',
      'value [16,24] model.layers.*.self_attn.v_proj.weight = blk.2.attn_v.weight',
      'output [24,32] model.layers.*.self_attn.o_proj.weight = blk.2.attn_output.weight',
      'norm [24] model.layers.*.post_attention_layernorm.weight = blk.2.ffn_norm.weight',
      'gate [40,24] model.layers.*.mlp.gate_proj.weight = blk.2.ffn_gate.weight',
      'up [40,24] model.layers.*.mlp.up_proj.weight = blk.2.ffn_up.weight',
      'output [24,40] model.layers.*.mlp.down_proj.weight = blk.2.ffn_down.weight',
    ]);
    expect(tensorNames(theWeight(layers[2].mlp.weights, 'up'))).toEqual(['model.layers.2.mlp.up_proj.weight']);
    expect(layers.flatMap(layerWeights).flatMap(fusedNames)).toEqual([]);
  });

  it('has the biases that its config says, each of a matrix', () => {
    const { attention, mlp } = described({ attentionBias: true, mlpBias: true }).layers[1];
    expect(withRole(attention.weights, 'bias').map(line)).toEqual([
      'bias of query [32] model.layers.*.self_attn.q_proj.bias = blk.1.attn_q.bias',
      'bias of key [16] model.layers.*.self_attn.k_proj.bias = blk.1.attn_k.bias',
      'bias of value [16] model.layers.*.self_attn.v_proj.bias = blk.1.attn_v.bias',
      'bias of output [24] model.layers.*.self_attn.o_proj.bias = blk.1.attn_output.bias',
    ]);
    expect(withRole(mlp.weights, 'bias').map(matrixRole)).toEqual(['gate', 'up', 'output']);
    const query = theWeight(attention.weights, 'query');
    expect(tensorNames(biasOf(attention.weights, query)!)).toEqual(['model.layers.1.self_attn.q_proj.bias']);
    expect(biasOf(described().layers[1].attention.weights, query)).toBeUndefined();
  });

  it('has its head in the embedding where they are tied', () => {
    const { head, embedding } = described({ tieWordEmbeddings: true });
    expect([head.weight, embedding.weight.use]).toEqual([undefined, 'both']);
    expect(described().embedding.weight.use).toBe('embedding');
  });

  it('computes this in every layer', () => {
    const rope = { type: 'linear', theta: 500, factor: 2 } as const;
    const { layers, head, conventions } = described({ rope, rmsNormEps: 1e-3 });
    for (const { attention, mlp } of layers) {
      expect(attention).toMatchObject({ kind: 'attention', heads: 4, keyValueHeads: 2, headDim: 8, rope });
      expect(attention.scale).toBe(8 ** -0.5);
      expect([attention.window, attention.softCap, attention.queryKeyNorm, attention.slopes]).toEqual(
        Array(4).fill(undefined),
      );
      expect(mlp).toMatchObject({ kind: 'gated', intermediateSize: 40, activation: 'silu' });
      for (const { norm, postNorm, multiplier } of [attention, mlp])
        expect([norm, postNorm, multiplier]).toEqual([{ epsilon: 1e-3 }, undefined, undefined]);
    }
    expect(head).toMatchObject({ norm: { epsilon: 1e-3 } });
    expect([head.scale, head.softCap]).toEqual([undefined, undefined]);
    expect(conventions).toEqual({
      architecture: 'LlamaForCausalLM',
      head: 'lm_head',
      gguf: { architecture: 'llama', rotaryPairs: true, ropeDivisors: true },
    });
  });

  it('has rows that rotate in queries and keys alone, their biases too', () => {
    const rotating = layerWeights(described({ attentionBias: true }).layers[0]).filter(({ rotates }) => rotates);
    expect(rotating.map(({ path }) => path)).toEqual([
      'attention.q.weight',
      'attention.q.bias',
      'attention.k.weight',
      'attention.k.bias',
    ]);
  });
});

it('mistral is a llama whose attentions may see a window', () => {
  const mistral = described({ modelType: 'mistral', slidingWindow: 7 });
  expect(mistral.layers.map(({ attention }) => attention.window)).toEqual([7, 7, 7]);
  expect(described({ modelType: 'mistral' }).layers[0].attention.window).toBeUndefined();
  expect(allWeights(mistral)).toEqual(allWeights(described()));
  expect(mistral.conventions).toEqual({
    architecture: 'MistralForCausalLM',
    head: 'lm_head',
    gguf: { architecture: 'llama', rotaryPairs: true, ropeDivisors: true },
  });
});

it('windows may be of some layers only, by layer_types', () => {
  const windows = (layerTypes: unknown, slidingWindow?: number): unknown[] =>
    describeConfig({
      ...{ ...sizes, modelType: 'mistral', slidingWindow },
      familyKeys: { layer_types: layerTypes },
    }).layers.map(({ attention }) => attention.window);
  const [full, sliding] = ['full_attention', 'sliding_attention'];
  expect(windows([full, sliding, full], 7)).toEqual([undefined, 7, undefined]);
  expect(windows([full, full, full], 7)).toEqual([undefined, undefined, undefined]);
  expect(windows([full, sliding, full])).toEqual([undefined, undefined, undefined]);
  expect(windows(null, 7)).toEqual([7, 7, 7]);
  expect(() => windows([full, sliding], 7)).toThrow(/layer_types must name the kind of each of the 3 layers/);
  expect(() => windows([full, 'linear_attention', full], 7)).toThrow(
    /layer_types names "linear_attention" for layer 1/,
  );
});

describe('mixtral', () => {
  const { layers, conventions } = described(mixtralConfig);

  it('has stacks of experts behind a router, which files may hold fused', () => {
    const { weights } = layers[1].mlp;
    expect(weights.map(line)).toEqual([
      'norm [24] model.layers.*.post_attention_layernorm.weight = blk.1.ffn_norm.weight',
      'router [3,24] model.layers.*.block_sparse_moe.gate.weight = blk.1.ffn_gate_inp.weight',
      'gate [3,40,24] model.layers.*.block_sparse_moe.experts.#.w1.weight = blk.1.ffn_gate_exps.weight',
      'up [3,40,24] model.layers.*.block_sparse_moe.experts.#.w3.weight = blk.1.ffn_up_exps.weight',
      'output [3,24,40] model.layers.*.block_sparse_moe.experts.#.w2.weight = blk.1.ffn_down_exps.weight',
    ]);
    expect(tensorNames(theWeight(weights, 'up'))).toEqual(
      [0, 1, 2].map((expert) => `model.layers.1.block_sparse_moe.experts.${expert}.w3.weight`),
    );
    const forms = weights.flatMap((weight) => weight.forms.map((form) => [weight.role, form]));
    const tensor = 'model.layers.*.mlp.experts.gate_up_proj';
    expect(forms).toEqual([
      ['router', { tensor: 'model.layers.*.mlp.gate.weight', from: 0, to: 3 }],
      ['gate', { tensor, from: 0, to: 40 }],
      ['up', { tensor, from: 40, to: 80 }],
      ['output', { tensor: 'model.layers.*.mlp.experts.down_proj', from: 0, to: 24 }],
    ]);
    expect(fusedNames(theWeight(weights, 'up'))).toEqual(['model.layers.1.mlp.experts.gate_up_proj']);
  });

  it('takes the top of its experts, weighed among themselves; eight and two where the config does not say', () => {
    for (const { mlp } of layers)
      expect(mlp).toMatchObject({ kind: 'mixture', experts: 3, topK: 2, normalise: true, activation: 'silu' });
    expect(described({ modelType: 'mixtral' }).layers[0].mlp).toMatchObject({ experts: 8, topK: 2 });
    expect(layers[0].attention).toEqual(described().layers[0].attention);
    expect(conventions.architecture).toBe('MixtralForCausalLM');
  });

  it('has experts, and no one output', () => {
    expect([hasExperts({ layers }), hasExperts(described())]).toEqual([true, false]);
    expect(outputWeight(layers[0].mlp)).toBeUndefined();
    expect(outputWeight(layers[0].attention)).toBe(theWeight(layers[0].attention.weights, 'output'));
    expect(outputWeight(described().layers[0].mlp)?.projection).toBe('mlp.down');
  });
});

describe.each(['llama', 'llama-v4-bf16-sharded', 'mistral', 'mixtral'])("transformers' checkpoint %s", (name) => {
  const folder = fileURLToPath(new URL('../../fixtures/cases', import.meta.url));

  it('holds the tensors that are described, in their shapes', async () => {
    await using source = await openCheckpoint(join(folder, name));
    const weights = allWeights(describeModel(source.config, source.folder));
    expect(weights.flatMap(tensorNames).sort()).toEqual(source.tensorNames().sort());
    for (const weight of weights)
      for (const tensor of tensorNames(weight))
        expect(source.info(tensor).shape, tensor).toEqual(
          weight.use === 'experts' ? weight.shape.slice(1) : weight.shape,
        );
  });
});

describe('roles', () => {
  const weights = [
    ...allWeights(described({ attentionBias: true, mlpBias: true })),
    ...described(mixtralConfig).layers[0].mlp.weights,
  ];
  const paths = (is: (weight: WeightSpec) => boolean): string[] => [
    ...new Set(weights.filter(is).map(({ path }) => path)),
  ];

  it('say what a quantizer rounds, what is multiplied, what is looked up', () => {
    const projections = [
      ...['attention.q.weight', 'attention.k.weight', 'attention.v.weight', 'attention.o.weight'],
      ...['mlp.gate.weight', 'mlp.up.weight', 'mlp.down.weight'],
      ...['mlp.experts.gate.weight', 'mlp.experts.up.weight', 'mlp.experts.down.weight'],
    ];
    expect(paths(isProjection)).toEqual(projections);
    expect(paths(isLinear).sort()).toEqual([...projections, 'head', 'mlp.router.weight'].sort());
    expect(paths(isTable)).toEqual(['embedding', 'head']);
  });

  it('of a module, and of its shared expert, are each of one weight, but for biases; a role that there is not is told', () => {
    fc.assert(
      fc.property(modelConfigs(), (config) => {
        for (const [layer, at] of describeConfig(config).layers.entries())
          for (const [kind, module] of modulesOf(at)) {
            const shared = module.kind === 'mixture' ? (module.shared?.weights ?? []) : [];
            const own = module.weights.filter((weight) => !shared.includes(weight));
            expect(module.weights.every((weight) => weight.module === kind && weight.layer === layer)).toBe(true);
            for (const weights of [own, shared]) {
              const roles = weights.filter(({ role }) => role !== 'bias').map(({ role }) => role);
              expect(new Set(roles).size).toBe(roles.length);
              for (const role of roles) expect(theWeight(weights, role).role).toBe(role);
            }
            // A role that both have is asked of the module's own experts first.
            for (const { role } of shared.filter(({ role }) => own.some((weight) => weight.role === role)))
              expect(theWeight(module.weights, role)).toBe(theWeight(own, role));
          }
      }),
    );
    expect(() => theWeight(described().layers[0].attention.weights, 'router')).toThrow(
      /^there is no router among attention\.norm, attention\.q\.weight/,
    );
  });
});

describe('places of tensors', () => {
  it('any tensor that is described is found: its weight, and its expert of a stack', () => {
    fc.assert(
      fc.property(modelConfigs(), (config) => {
        const weights = allWeights(describeConfig(config));
        const places = tensorPlaces(weights);
        for (const weight of weights)
          for (const [i, name] of tensorNames(weight).entries()) {
            expect(places.get(name)!.weight).toBe(weight);
            expect(places.get(name)!.expert).toBe(weight.use === 'experts' ? i : undefined);
          }
        const names = weights.flatMap((weight) => [...tensorNames(weight), ...fusedNames(weight)]);
        expect([...places.keys()].sort()).toEqual([...new Set(names)].sort());
      }),
    );
  });

  it('a fused tensor is found as the first weight in it, and what is no part of the model is not', () => {
    const places = tensorPlaces(allWeights(described(mixtralConfig)));
    const { weight, expert } = places.get('model.layers.2.mlp.experts.gate_up_proj')!;
    expect([weight.role, weight.layer, expert]).toEqual(['gate', 2, undefined]);
    expect(places.get('model.layers.0.mlp.gate.weight')!.weight.role).toBe('router');
    for (const name of ['model.layers.3.mlp.experts.gate_up_proj', 'model.layers.0.self_attn.rotary_emb.inv_freq'])
      expect(places.get(name)).toBeUndefined();
  });
});

describe('a llama in all but name', () => {
  it.each<[string, Partial<PartialConfig>, boolean]>([
    ['llama', {}, true],
    ['with biases, tied', { attentionBias: true, mlpBias: true, tieWordEmbeddings: true }, true],
    ['mistral', { modelType: 'mistral', slidingWindow: 4 }, true],
    ['mixtral', mixtralConfig, false],
  ])('%s', (_, config, expected) => expect(isLlamaLike(described(config))).toBe(expected));

  const { layers, ...whole } = described();
  /** The last layer computes otherwise. */
  const withLast = (change: (layer: LayerDescription) => Partial<LayerDescription>): ModelDescription => ({
    ...whole,
    layers: [...layers.slice(0, -1), { ...layers[2], ...change(layers[2]) }],
  });
  const withAttention = (change: Partial<AttentionDescription>): ModelDescription =>
    withLast(({ attention }) => ({ attention: { ...attention, ...change } }));

  it.each<[string, ModelDescription]>([
    ['soft caps', withAttention({ softCap: 50 })],
    ['another scale', withAttention({ scale: 1 })],
    ['norms of queries and keys', withAttention({ queryKeyNorm: { over: 'head', epsilon: 1e-6 } })],
    ['no rotation', withAttention({ rope: undefined })],
    ['a base of its own', withAttention({ rope: { type: 'default', theta: 5 } })],
    ['no norm at the entrance', withAttention({ norm: undefined })],
    ['a norm at the end', withLast(({ mlp }) => ({ mlp: { ...mlp, postNorm: { epsilon: 1e-6 } } }))],
    ['an MLP of experts', withLast(() => ({ mlp: described(mixtralConfig).layers[2].mlp }))],
    ['logits that are capped', { ...whole, layers, head: { ...whole.head, softCap: 30 } }],
    ['logits that are scaled', { ...whole, layers, head: { ...whole.head, scale: 0.5 } }],
  ])('is none with %s, in one layer only', (_, description) => expect(isLlamaLike(description)).toBe(false));
});

describe('a config', () => {
  it('given by a program is described as it is, and so is what it says once more', () =>
    fc.assert(
      fc.property(modelConfigs(), (config) => {
        const { config: read } = describeConfig(config);
        expect(read).toEqual(completeConfig(config));
        const { familyKeys } = config;
        expect(describeConfig({ ...read, familyKeys })).toEqual(describeConfig(config));
      }),
    ));

  it('of an unknown type, or of an activation that there is not, is refused', () => {
    const raw = {
      ...{ vocab_size: 50, hidden_size: 24, intermediate_size: 40, num_hidden_layers: 1, num_attention_heads: 4 },
    };
    const attempt = (keys: object) => () => describeModel({ ...raw, ...keys }, 'model/config.json');
    expect(attempt({ model_type: 'gpt2' })).toThrow(
      /^model\/config\.json: model type "gpt2" is not supported \(.*llama.*\)$/,
    );
    expect(attempt({})).toThrow(/model_type is missing/);
    expect(attempt({ model_type: 'llama', hidden_act: 'relu' })).toThrow(
      /^model\/config\.json: hidden_act "relu" is not supported \(silu/,
    );
    expect(attempt({ model_type: 'llama', hidden_act: 'toString' })).toThrow(/hidden_act "toString" is not supported/);
    expect(attempt({ model_type: 'llama', num_key_value_heads: 3 })).toThrow(/4 does not divide by .* 3$/);
    expect(attempt({ model_type: 'llama', hidden_act: null, hidden_activation: 'silu' })).not.toThrow();
  });

  it('of a GGUF file is of the family that its architecture names, with experts or without', () => {
    const of = (architecture: string, experts: boolean) => ggufFamily(architecture, experts, 'x.gguf').types[0];
    expect([of('llama', false), of('llama', true), of('deci', false)]).toEqual(['llama', 'mixtral', 'llama']);
    expect(() => of('deci', true)).toThrow(/^x\.gguf: GGUF files of architecture "deci" are not read/);
    expect(() => of('bert', false)).toThrow(/architecture "bert" are not read \(llama, deci.* are\)$/);
  });
});
