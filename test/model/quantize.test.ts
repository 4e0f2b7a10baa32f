/** Quantizing whole models: what each method replaces, in which order it sees what, and how it resumes. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProgressFile } from '../../src/progress/index.js';
import { InputGrams, capturedInputs } from '../../src/walk/index.js';
import {
  arraySource,
  createBatch,
  createEngine,
  isInt4,
  readInt4Rows,
  type Engine,
  type Int4Rows,
  type WeightSource,
} from '../../src/engine/index.js';
import {
  Model,
  createModel,
  layerWeights,
  tensorNames,
  theWeight,
  withRole,
  type Drops,
  type ModuleKind,
  type Parameters,
  type PartialConfig,
  type WeightRole,
  type WeightSpec,
} from '../../src/models/index.js';
import {
  gptq,
  quantizeModel,
  type QuantizeMethod,
  type QuantizeModelOptions,
  type QuantizeState,
  type QuantizedModel,
} from '../../src/quant/index.js';
import { replacedParameters } from '../../src/quant/quantizedTensors.js';
import { readAll } from '../../src/quant/rowMap.js';
import { withWeights } from '../support/naiveCompensation.js';

const sizes = {
  vocabSize: 60,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  maxPositionEmbeddings: 64,
};
const configs: Record<string, PartialConfig> = {
  'llama without grouped heads': { ...sizes, tieWordEmbeddings: true },
  'llama with grouped heads and biases': { ...sizes, numKeyValueHeads: 2, attentionBias: true, mlpBias: true },
  mixtral: { ...sizes, modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 },
};
/** A dense layer between two mixtures with shared experts. */
const sharing: PartialConfig = {
  ...{ ...sizes, modelType: 'qwen2_moe', numLocalExperts: 3, numExpertsPerTok: 2 },
  familyKeys: { mlp_only_layers: [1], moe_intermediate_size: 32, shared_expert_intermediate_size: 96 },
};
const rows = Array.from({ length: 6 }, (_, row) =>
  Int32Array.from({ length: 40 }, (__, i) => (i * i * (row + 3) + 7 * row + (i % 5)) % 60),
);
const grouped = { groupSize: 32, symmetric: true } as const;
const methods: QuantizeMethod[] = ['rtn', 'gptq', 'awq'];

let engine: Engine, folder: string;
beforeAll(async () => {
  engine = await createEngine('wasm');
  folder = mkdtempSync(join(tmpdir(), 'llm-drop-quantize-'));
});
afterAll(() => {
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const modelOf = (name: string): Promise<Model> => createModel(configs[name], { seed: 5, engine });

/** Tensors of the model's layers. */
const tensorsOf = ({ description }: Model): string[] =>
  description.layers.flatMap((layer) => layerWeights(layer).flatMap(tensorNames));

/** Tensors of the model's layers that were replaced, with their rows. */
async function int4Of(model: Model, quantized: QuantizedModel): Promise<Map<string, Int4Rows>> {
  const found = new Map<string, Int4Rows>();
  for (const tensor of tensorsOf(model)) {
    const source = quantized.replaced(tensor);
    if (!source || !isInt4(source)) continue;
    const { quants, scales, zeros } = await readInt4Rows(source, 0, source.shape[0]);
    found.set(tensor, { quants: quants.slice(), scales: scales.slice(), zeros: zeros?.slice() });
  }
  return found;
}

/** Everything that was replaced, floats too. */
async function replacedOf(model: Model, quantized: QuantizedModel): Promise<Map<string, unknown>> {
  const all = new Map<string, unknown>(await int4Of(model, quantized));
  for (const tensor of tensorsOf(model)) {
    const source = quantized.replaced(tensor);
    if (source && !isInt4(source)) all.set(tensor, await readAll(source));
  }
  return all;
}

async function logits(like: Model, parameters = like.parameters): Promise<Float32Array> {
  using model = new Model(engine, like.description, parameters);
  model.setDrops(like.drops);
  await model.load();
  using _scope = engine.scope();
  return await engine.readFloats(model.logits(model.forward(createBatch([rows[0], rows[1]]))));
}

/** Every so many channels larger behind each norm, and the columns that read them smaller. */
async function withOutliers(
  model: Model,
  factor: { every: number; activations: number; weights: number },
): Promise<Model> {
  const weights = new Map<string, WeightSource>();
  const readers: readonly WeightRole[] = ['query', 'key', 'value', 'gate', 'up', 'router'];
  for (const spec of model.layers.flatMap(({ description }) => layerWeights(description))) {
    const isNorm = spec.role === 'norm';
    if (!isNorm && !readers.includes(spec.role)) continue;
    const by = isNorm ? factor.activations : factor.weights;
    for (const name of tensorNames(spec)) {
      const source = model.parameters.source(name);
      const width = source.shape.at(-1)!;
      const values = (await readAll(source)).map((value, i) => ((i % width) % factor.every === 3 ? value * by : value));
      weights.set(name, arraySource(values, source.shape, { name }));
    }
  }
  return withWeights(model, weights, { attention: [], mlp: [] });
}

/** What a projection of the only module that is not dropped, of a mixture's first expert, gives for the first row. */
async function outputs(like: Model, path: string, parameters: Parameters): Promise<Float32Array> {
  using model = new Model(engine, like.description, parameters);
  model.setDrops(like.drops);
  await model.load();
  using captured = capturedInputs(model, ['attention.q', 'mlp.gate', 'mlp.router']);
  using _scope = engine.scope();
  model.forward(createBatch([rows[0]]), { observer: captured.observer });
  const [[, input]] = await captured.take();
  const [tensor] = tensorNames(
    layerWeights(model.layers[0].description).find((spec) => spec.path === `${path}.weight`)!,
  );
  using weight = await engine.pack(parameters.source(tensor), 'linear');
  const x = engine.tensor(input, [rows[0].length, model.config.hiddenSize]);
  return await engine.readFloats(engine.linear(x, [{ weight }])[0]);
}

const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / b.reduce((sum, x) => sum + x ** 2, 0));

describe.each(Object.keys(configs))('%s', (name) => {
  it.each(methods)('%s replaces every projection and stays near the model', async (method) => {
    using model = await modelOf(name);
    for (const symmetric of [true, false]) {
      await using quantized = await quantizeModel(model, rows, { method, ...grouped, symmetric });
      const tensors = await int4Of(model, quantized);
      const expected = model.description.layers
        .flatMap(layerWeights)
        .filter(({ role, use }) => use !== 'vector' && role !== 'router')
        .flatMap(tensorNames);
      expect([...tensors.keys()].sort()).toEqual(expected.sort());
      expect(quantized.results).toHaveLength(expected.length);
      // Random weights in groups of 32 are off by a tenth each; a scale folded wrongly would be off by 1 and more.
      expect(distance(await logits(model, quantized.parameters), await logits(model))).toBeLessThan(0.35);
    }
  });

  it('gptq and awq err less in the outputs than rounding to nearest', async () => {
    using model = await modelOf(name);
    const float = await logits(model);
    const off: Record<string, number> = {};
    for (const method of methods) {
      await using quantized = await quantizeModel(model, rows, { method, ...grouped });
      off[method] = distance(await logits(model, quantized.parameters), float);
    }
    // Random activations have no outliers: AWQ has little to gain, but for the clip.
    expect(off.gptq).toBeLessThan(off.rtn);
    expect(off.awq).toBeLessThan(off.rtn);
  });

  it('awq loses nothing where channels of large activations meet small weights, which rounding to nearest loses', async () => {
    using plain = await modelOf(name);
    using model = await withOutliers(plain, { every: 8, activations: 64, weights: 1 / 64 });
    const float = await logits(model);
    // Powers of 2 that cancel: the same function, bit for bit.
    expect(float).toEqual(await logits(plain));
    const off = async (of: Model, method: QuantizeMethod): Promise<number> => {
      await using quantized = await quantizeModel(of, rows, { method, ...grouped });
      return distance(await logits(of, quantized.parameters), float);
    };
    const [rtn, awq] = [await off(model, 'rtn'), await off(model, 'awq')];
    // A weight of a 64th of its group's others is rounded to 0, so that an eighth of all inputs is lost: by its root, a
    // third of what each projection gives, where int4 alone costs a tenth. Scaling gives the channels back their weights,
    // so that AWQ is as far off as without them. Seen with several seeds: 0.30 to 0.46, and 0.93 to 1.05.
    expect(awq).toBeLessThan(0.6 * rtn);
    expect(awq).toBeLessThan(1.15 * (await off(plain, 'awq')));
  });

  it.each(['attention', 'mlp'] as const)(
    'awq rounds weights of large activations more finely in an %s',
    async (kind) => {
      using plain = await modelOf(name);
      using model = await withOutliers(plain, { every: 32, activations: 64, weights: 1 });
      // Alone, in the first layer: what enters does not depend on how others are rounded.
      model.setDrops({ attention: kind === 'mlp' ? [0, 1, 2] : [1, 2], mlp: kind === 'mlp' ? [1, 2] : [0, 1, 2] });
      // AWQ leaves the outputs of these as they are; those of v and up it scales for what comes behind.
      const path = kind === 'attention' ? 'attention.q' : name === 'mixtral' ? 'mlp.experts.gate' : 'mlp.gate';
      const float = await outputs(model, path, model.parameters);
      const off = async (method: QuantizeMethod): Promise<number> => {
        await using quantized = await quantizeModel(model, rows, { method, ...grouped });
        return distance(await outputs(model, path, quantized.parameters), float);
      };
      // The outliers make nearly all of the output, whose error is then that of their weights. To nearest it is the group's
      // step, as for any; AWQ makes them larger in their group, which costs the others. Seen with several seeds: 0.66 to 0.82
      // of the error in attentions, 0.45 to 0.68 in MLPs, where the clip is searched too; above 0.93 in attentions where
      // scales look at the weights alone.
      expect(await off('awq')).toBeLessThan(0.85 * (await off('rtn')));
    },
  );

  it.each(methods)('%s leaves what is dropped alone', async (method) => {
    using model = await modelOf(name);
    const drops: Drops = { attention: [1], mlp: [0, 2] };
    model.setDrops(drops);
    await using quantized = await quantizeModel(model, rows, { method, ...grouped });
    for (const [kind, layers] of Object.entries(drops) as ['attention' | 'mlp', number[]][])
      for (const layer of layers)
        for (const tensor of model.description.layers[layer][kind].weights.flatMap(tensorNames))
          expect(quantized.replaced(tensor)).toBeUndefined();
    const kept = theWeight(model.description.layers[2].attention.weights, 'query');
    expect(quantized.replaced(tensorNames(kept)[0])?.dtype).toBe('int4');
    expect(distance(await logits(model, quantized.parameters), await logits(model))).toBeLessThan(0.35);
    expect(model.drops).toEqual(drops);
  });

  it.each(methods)('%s resumes to the same bits wherever it was interrupted', async (method) => {
    using model = await modelOf(name);
    const options = { method, ...grouped, symmetric: false, expertFloor: 30 };
    await using whole = await quantizeModel(model, rows, options);
    const expected = await replacedOf(model, whole);
    const stops = fc.array(fc.integer({ min: 1, max: whole.results.length - 1 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(stops, async (counts) => {
        await using quantized = await inPieces(model, counts, options);
        expect(await replacedOf(model, quantized)).toEqual(expected);
        expect(quantized.results).toEqual(whole.results);
        expect(quantized.warnings).toEqual(whole.warnings);
      }),
      { numRuns: 3 },
    );
    rmSync(join(folder, 'run.progress'));
    rmSync(join(folder, 'run.progress.streams'), { recursive: true });
    expect(readdirSync(folder)).toEqual([]);
  });
});

/** Interrupted after each of some numbers of projections, and continued from the file each time. */
async function inPieces(
  model: Model,
  stops: readonly number[],
  options: QuantizeModelOptions,
): Promise<QuantizedModel> {
  const path = join(folder, 'run.progress');
  rmSync(path, { force: true });
  for (const stop of [...stops, Infinity]) {
    const progress = await ProgressFile.open<QuantizeState>(path, { model: 'one' });
    const interrupt = new AbortController();
    const onProgress = (done: number): void => void (done >= stop && interrupt.abort());
    try {
      return await quantizeModel(model, rows, { ...options, progress, onProgress, signal: interrupt.signal });
    } catch (error) {
      expect(interrupt.signal.aborted, String(error)).toBe(true);
    }
  }
  throw new Error('unreachable');
}

describe('rounding to nearest', () => {
  it('of a dropped model is a drop of the quantized one', async () => {
    using model = await modelOf('llama with grouped heads and biases');
    await using whole = await quantizeModel(model, [], { method: 'rtn', ...grouped });
    const all = await int4Of(model, whole);
    model.setDrops({ attention: [0, 2], mlp: [1] });
    await using dropped = await quantizeModel(model, [], { method: 'rtn', ...grouped });
    const rest = await int4Of(model, dropped);
    expect(rest.size).toBe(all.size - 2 * 4 - 3);
    for (const [tensor, of] of rest) expect(of).toEqual(all.get(tensor));
  });
});

describe('gptq', () => {
  /** What a projection reads when everything before it is quantized, and nothing behind. */
  it.each<[ModuleKind, WeightRole, number, Record<ModuleKind, WeightRole[]>]>([
    ['attention', 'query', 1, { attention: ['key', 'value'], mlp: [] }],
    ['attention', 'output', 1, { attention: ['query', 'key', 'value'], mlp: [] }],
    ['mlp', 'gate', 1, { attention: ['query', 'key', 'value', 'output'], mlp: ['up'] }],
    ['mlp', 'output', 2, { attention: ['query', 'key', 'value', 'output'], mlp: ['up', 'gate'] }],
  ])('sees %s %s of layer %d behind all that runs before it, quantized', async (kind, role, layer, before) => {
    using model = await modelOf('llama with grouped heads and biases');
    await using quantized = await quantizeModel(model, rows, { method: 'gptq', ...grouped });
    const { layers } = model.description;
    const { attention, mlp } = layers[layer];
    const runsBefore = [
      ...layers.slice(0, layer).flatMap(layerWeights),
      ...before.attention.map((one) => theWeight(attention.weights, one)),
      ...before.mlp.map((one) => theWeight(mlp.weights, one)),
    ].flatMap(tensorNames);
    using partly = new Model(
      engine,
      model.description,
      replacedParameters(model.parameters, (tensor) =>
        runsBefore.includes(tensor) ? quantized.replaced(tensor) : undefined,
      ),
    );
    await partly.load();
    const spec = theWeight(layers[layer][kind].weights, role);
    const path = spec.projection!;
    using grams = new InputGrams(engine, [path]);
    const { observer } = grams;
    for (const row of rows) {
      using _scope = engine.scope();
      partly.forward(createBatch([row]), {
        observer: { input: (event) => event.layer === layer && observer.input!(event) },
      });
    }
    const [tensor] = tensorNames(spec);
    const weight = await readAll(model.parameters.source(tensor));
    const { quants } = gptq(weight, spec.shape[1], await grams.take(path), grouped, tensor);
    const source = quantized.replaced(tensor)!;
    if (!isInt4(source)) throw new Error(`${tensor} is not int4`);
    expect((await source.readInt4(0, source.shape[0])).quants).toEqual(quants);
  });

  it('needs rows', async () => {
    using model = await modelOf('mixtral');
    await expect(quantizeModel(model, [], { method: 'gptq', ...grouped })).rejects.toThrow(/gptq needs .* row/);
  });
});

describe('experts', () => {
  it.each(['gptq', 'awq'] as const)('%s warns with counts where too few tokens visit one', async (method) => {
    using model = await modelOf('mixtral');
    const few = { method, ...grouped, expertFloor: 1e6 };
    await using quantized = await quantizeModel(model, rows, few);
    expect(quantized.warnings).toHaveLength(3);
    expect(quantized.warnings[0]).toMatch(
      /^layer 0: fewer than 1000000 tokens visit experts 0 \(\d+\), 1 \(\d+\), 2 \(\d+\), calibrated on all 240 tokens instead$/,
    );
    // Two of three experts for each of 240 tokens.
    const counts = [...quantized.warnings[0].matchAll(/\((\d+)\)/g)].map(([, count]) => Number(count));
    expect(counts.reduce((a, b) => a + b)).toBe(480);
    await using enough = await quantizeModel(model, rows, { ...few, expertFloor: 1 });
    expect(enough.warnings).toEqual([]);
    // Other tokens give other integers.
    expect(await int4Of(model, enough)).not.toEqual(await int4Of(model, quantized));
  });

  it.each(methods)('%s rounds the shared one too, but not what weighs it', async (method) => {
    using model = await createModel(sharing, { seed: 5, engine });
    await using quantized = await quantizeModel(model, rows, { method, ...grouped, expertFloor: 1 });
    const [first, dense] = model.description.layers.map(({ mlp }) => mlp);
    const integers = (weights: readonly WeightSpec[]): string[] =>
      weights
        .filter((weight) => tensorNames(weight).every((name) => quantized.replaced(name)?.dtype === 'int4'))
        .map(({ path }) => path.replace(/^mlp\./, ''));
    const routed = ['experts.gate.weight', 'experts.up.weight', 'experts.down.weight'];
    expect(integers(first.weights)).toEqual([
      ...routed,
      'shared.gate.weight',
      'shared.up.weight',
      'shared.down.weight',
    ]);
    expect(integers(dense.weights)).toEqual(['gate.weight', 'up.weight', 'down.weight']);
    const [router, sharedRouter] = withRole(first.weights, 'router').map((weight) => tensorNames(weight)[0]);
    for (const name of [router, sharedRouter])
      expect(quantized.replaced(name) === undefined, name).toBe(method !== 'awq');
  });

  it('awq leaves what a mixture with a shared one computes nearly as it is', async () => {
    using model = await createModel(sharing, { seed: 5, engine });
    model.setDrops({ attention: [0, 1, 2], mlp: [1, 2] });
    const float = await logits(model);
    const off = async (method: QuantizeMethod): Promise<number> => {
      await using quantized = await quantizeModel(model, rows, { method, ...grouped, expertFloor: 1 });
      return distance(await logits(model, quantized.parameters), float);
    };
    // What the norm is divided by is in every reader: one that were left out would be off by more than any rounding.
    expect(await off('awq')).toBeLessThan(1.15 * (await off('rtn')));
  });
});
