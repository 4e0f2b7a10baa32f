import { InputGrams, capturedInputs, moduleStream, type ModuleRows } from '../walk/index.js';
import { arraySource, dequantizeRows, type Engine, type Weight } from '../engine/index.js';
import { theWeight, weightSource, type MixtureDescription, type ModuleKind, type WeightRole } from '../models/index.js';
import { calibrationVisits, gatherRows, type Visits } from './experts.js';
import { gptq, type GptqOptions } from './gptq.js';
import { storedFormat } from './groupQuantizer.js';
import { outputError, type ProjectionAt, type Projections } from './projections.js';

export interface GptqModulesOptions extends GptqOptions {
  /** Tokens that must visit an expert for it to be calibrated on them alone. */
  readonly expertFloor: number;
}

/**
 * Projections of a module in running order. Those of a subset read the same input; each subset sees the earlier ones
 * quantized.
 */
const sequence: Readonly<Record<ModuleKind, readonly (readonly WeightRole[])[]>> = {
  attention: [['key', 'value', 'query'], ['output']],
  mlp: [['up', 'gate'], ['output']],
};

/**
 * GPTQ in true-sequential order (docs/formats.md, 'GPTQ algorithm'), on the outputs of the quantized modules before.
 */
export class GptqModules {
  constructor(
    private readonly rows: ModuleRows,
    private readonly projections: Projections,
    private readonly options: GptqModulesOptions,
    private readonly warn: (text: string) => void,
  ) {}

  async quantize(layer: number, kind: ModuleKind): Promise<void> {
    const { rows } = this;
    const module = this.projections.module(layer, kind);
    if (module.kind === 'mixture') await this.#quantizeExperts(layer, module);
    const read = module.kind === 'mixture' ? module.shared : module;
    if (read)
      for (const roles of sequence[kind]) await this.#quantizeSubset(layer, kind, this.projections.at(read, roles));
    await rows.loaded(layer, kind, () =>
      rows.run(layer, kind, {
        onRow: async (after, row) =>
          rows.states.write(moduleStream(layer, kind) + 1, row, await this.#engine.readFloats(after)),
      }),
    );
  }

  get #engine(): Engine {
    return this.rows.model.engine;
  }

  async #quantizeSubset(layer: number, kind: ModuleKind, subset: readonly ProjectionAt[]): Promise<void> {
    const path = subset[0].weight.projection!;
    using grams = new InputGrams(this.#engine, [path]);
    await this.rows.loaded(layer, kind, () => this.rows.run(layer, kind, grams));
    const gram = await grams.take(path);
    for (const at of subset) await this.#replace(at, gram);
  }

  /** Rounds one projection. Returns its new values, [out, in]. */
  async #replace(at: ProjectionAt, gram: Float64Array): Promise<Float32Array> {
    const { projections, options } = this;
    const weight = await projections.read(at);
    const width = Math.sqrt(gram.length);
    const tensor = projections.tensor(at);
    const rounded = gptq(weight, width, gram, options, tensor);
    if (rounded.damping > (options.damping ?? 0.01))
      this.warn(`${tensor}: damped by ${rounded.damping.toPrecision(2)} of the diagonal's mean to be factored`);
    const values = dequantizeRows(rounded, width, storedFormat(options));
    projections.replace(at, rounded, weight, await outputError(this.#engine, weight, values, gram));
    return values;
  }

  /** Quantizes each expert on the tokens that visit it; `down` sees the outputs of the quantized `gate` and `up`. */
  async #quantizeExperts(layer: number, mixture: MixtureDescription): Promise<void> {
    const router = theWeight(mixture.weights, 'router');
    const inputs = await this.#expertInputs(layer, router.projection!);
    const { projections, options, warn } = this;
    const scores = weightSource(projections.stored, router);
    const visits = await calibrationVisits(this.rows, layer, mixture.topK, inputs, scores, options, warn);
    for (const expert of visits.keys()) await this.#quantizeExpert(mixture, expert, inputs, visits[expert]);
  }

  /** The normed input [T, D] of the mixture in each row: as large as the hidden states of all rows. */
  async #expertInputs(layer: number, path: string): Promise<Float32Array[]> {
    const inputs: Float32Array[] = [];
    using captured = capturedInputs(this.rows.model, [path]);
    await this.rows.loaded(layer, 'mlp', () =>
      this.rows.run(layer, 'mlp', {
        observer: captured.observer,
        onRow: async () => void inputs.push((await captured.take()).get(path)!),
      }),
    );
    return inputs;
  }

  async #quantizeExpert(
    mixture: MixtureDescription,
    expert: number,
    inputs: readonly Float32Array[],
    visits: Visits,
  ): Promise<void> {
    const engine = this.#engine;
    const [up, gate, down] = this.projections.at(mixture, ['up', 'gate', 'output'], expert);
    const width = this.rows.model.config.hiddenSize;
    using grams = new InputGrams(engine);
    for (const [row, places] of visits.entries()) {
      using _scope = engine.scope();
      if (places.length) grams.add('input', gatherRows(engine, inputs[row], places, width));
    }
    const gram = await grams.take('input');
    const packed = async (at: ProjectionAt): Promise<Weight> => {
      const values = await this.#replace(at, gram);
      return engine.pack(arraySource(values, [values.length / width, width]), 'linear');
    };
    {
      using upWeight = await packed(up);
      using gateWeight = await packed(gate);
      for (const [row, places] of visits.entries()) {
        using _scope = engine.scope();
        if (places.length === 0) continue;
        const x = gatherRows(engine, inputs[row], places, width);
        const [g, u] = engine.linear(x, [{ weight: gateWeight }, { weight: upWeight }]);
        grams.add('hidden', engine.gatedActivation(g, u, mixture.activation));
      }
    }
    await this.#replace(down, await grams.take('hidden'));
  }
}
