/**
 * AWQ (Lin et al., 2023; docs/formats.md, 'AWQ algorithm'), one module at a time, on the outputs of the full-precision
 * modules before it. Groups:
 *
 * - norm -> q, k, v and norm -> gate, up (of a mixture, of all experts, the shared one too): scales by the module's output;
 *   none where a model has no norm before its modules;
 * - v -> o where both have the same shape, so not with grouped heads; up -> down: scales by the output of o and of
 *   down.
 *
 * Unlike AutoAWQ, a mixture's router is multiplied with the scales too, so that tokens go to the same experts as
 * before; and so is what weighs a shared expert.
 */
import { capturedInputs, moduleStream, type ModuleRows } from '../walk/index.js';
import {
  arraySource,
  decodeFloats,
  dequantizeRows,
  encodeFloats,
  type Engine,
  type WeightSource,
} from '../engine/index.js';
import {
  biasOf,
  madeSource,
  theWeight,
  weightSource,
  withRole,
  type AttentionDescription,
  type GatedMlpDescription,
  type MixtureDescription,
  type ModuleDescription,
  type ModuleKind,
} from '../models/index.js';
import { clipGroups, clipLimits } from './awqClip.js';
import { searchScales, weightMeans } from './awqScales.js';
import { calibrationVisits, gatherRows, visitCount, type Visits } from './experts.js';
import { groupQuantized, snapped, storedFormat, type GroupOptions } from './groupQuantizer.js';
import { InputStatistics, dividedColumns } from './inputStatistics.js';
import type { ProjectionAt, Projections } from './projections.js';
import { change, divideRows, mapRows, readAll, scaleColumns, type RowMap } from './rowMap.js';

export interface AwqModulesOptions extends GroupOptions {
  /** Tokens that must visit an expert for it to be calibrated on them alone. */
  readonly expertFloor: number;
}

/** Tokens (in whole rows) on which a module's output is compared for each of the scales tried. */
const inspectedTokens = 1024;

/** A module in full precision: what its projections read, and what leaves it. */
interface Observed {
  readonly inputs: ReadonlyMap<string, InputStatistics>;
  /** Outputs of the first rows, [T, D] each. */
  readonly outputs: readonly Float32Array[];
}

/** Under which observers know a projection. */
const pathOf = ({ weight }: ProjectionAt): string => weight.projection!;

export class AwqModules {
  readonly #inspectedRows: number;
  readonly #tokens: number;

  constructor(
    private readonly rows: ModuleRows,
    private readonly projections: Projections,
    private readonly options: AwqModulesOptions,
    private readonly warn: (text: string) => void,
  ) {
    this.#tokens = rows.rows.reduce((sum, { length }) => sum + length, 0);
    const average = this.#tokens / rows.rows.length;
    this.#inspectedRows = Math.min(rows.rows.length, Math.max(1, Math.floor(inspectedTokens / average)));
  }

  async quantize(layer: number, kind: ModuleKind): Promise<void> {
    const module = this.projections.module(layer, kind);
    if (module.kind === 'attention') await this.#attention(layer, module);
    else if (module.kind === 'mixture') await this.#mixture(layer, module);
    else await this.#mlp(layer, module);
  }

  get #engine(): Engine {
    return this.rows.model.engine;
  }

  async #attention(layer: number, module: AttentionDescription): Promise<void> {
    const [q, k, v, o] = this.projections.at(module, ['query', 'key', 'value', 'output']);
    const seen = await this.#observe(layer, 'attention', [pathOf(q), pathOf(o)]);
    const [into, mixed] = [seen.inputs.get(pathOf(q))!, seen.inputs.get(pathOf(o))!];
    const factors = await this.#inputFactors(layer, module, [q, k, v], into, seen.outputs);
    const folded = this.#scaleColumnsOf(factors, into.sample);
    const [vShape, oShape] = [v, o].map((at) => this.projections.source(at).shape.join());
    const between = vShape === oShape ? await this.#linearScales(o, mixed) : new Float64Array(mixed.width).fill(1);
    const after = this.#scaleColumnsOf(between, mixed.sample);
    const divided = vShape === oShape ? [divideRows(between)] : [];
    if (vShape === oShape) await this.#divideBias(module, v, between);
    await this.#finish(q, folded.maps, folded.sample, false);
    await this.#finish(k, folded.maps, folded.sample, false);
    await this.#finish(v, [...folded.maps, ...divided], folded.sample, true);
    await this.#finish(o, after.maps, after.sample, true);
  }

  async #mlp(layer: number, module: GatedMlpDescription): Promise<void> {
    const [gate, up, down] = this.projections.at(module, ['gate', 'up', 'output']);
    const seen = await this.#observe(layer, 'mlp', [pathOf(gate), pathOf(down)]);
    const [into, hidden] = [seen.inputs.get(pathOf(gate))!, seen.inputs.get(pathOf(down))!];
    const factors = await this.#inputFactors(layer, module, [gate, up], into, seen.outputs);
    const folded = this.#scaleColumnsOf(factors, into.sample);
    await this.#finishGated(module, [gate, up, down], folded.maps, folded.sample, hidden);
  }

  async #mixture(layer: number, module: MixtureDescription): Promise<void> {
    const { model } = this.rows;
    const inputs: Float32Array[] = [];
    const router = theWeight(module.weights, 'router');
    const shared = module.shared && this.projections.at(module.shared, ['gate', 'up', 'output']);
    const paths = [router.projection!, ...(shared ? [pathOf(shared[2])] : [])];
    const seen = await this.#observe(layer, 'mlp', paths, (input) => inputs.push(input));
    const into = seen.inputs.get(router.projection!)!;
    const routerSource = weightSource(this.projections.stored, router);
    const visits = await calibrationVisits(
      this.rows,
      layer,
      module.topK,
      inputs,
      routerSource,
      this.options,
      this.warn,
    );
    const experts = visits.map((_, expert) => this.projections.at(module, ['gate', 'up', 'output'], expert));
    const readers = [...experts, ...(shared ? [shared] : [])].flatMap(([gate, up]) => [gate, up]);
    const factors = await this.#inputFactors(layer, module, readers, into, seen.outputs);
    for (const weight of withRole(module.weights, 'router')) {
      const source = weightSource(this.projections.stored, weight);
      this.projections.replaced.set(source.name, mapRows(source, scaleColumns(factors)));
    }
    for (const [expert, [gate, up, down]] of experts.entries()) {
      const own = new InputStatistics(model.config.hiddenSize, visitCount(visits[expert]));
      const hidden = await this.#expertHidden(module, [gate, up], inputs, visits[expert], own);
      const folded = this.#scaleColumnsOf(factors, own.sample);
      await this.#finishGated(module, [gate, up, down], folded.maps, folded.sample, hidden);
    }
    if (shared) {
      const folded = this.#scaleColumnsOf(factors, into.sample);
      await this.#finishGated(module, shared, folded.maps, folded.sample, seen.inputs.get(pathOf(shared[2]))!);
    }
  }

  /** Quantizes a gated MLP, once the scales of its input are known. */
  async #finishGated(
    module: ModuleDescription,
    [gate, up, down]: readonly ProjectionAt[],
    maps: readonly RowMap[],
    sample: Float32Array,
    hidden: InputStatistics,
  ): Promise<void> {
    const between = await this.#linearScales(down, hidden);
    const after = this.#scaleColumnsOf(between, hidden.sample);
    await this.#divideBias(module, up, between);
    await this.#finish(gate, maps, sample, true);
    await this.#finish(up, [...maps, divideRows(between)], sample, true);
    await this.#finish(down, after.maps, after.sample, true);
  }

  /** Runs all rows through the module as it is stored, and writes the stream behind it. `onInput` is told what the first path reads. */
  async #observe(
    layer: number,
    kind: ModuleKind,
    paths: readonly string[],
    onInput?: (input: Float32Array) => void,
  ): Promise<Observed> {
    const { rows } = this;
    const inputs = new Map<string, InputStatistics>();
    const outputs: Float32Array[] = [];
    using captured = capturedInputs(rows.model, paths);
    const onRow = async (after: Parameters<Engine['readFloats']>[0], row: number): Promise<void> => {
      const values = await this.#engine.readFloats(after);
      rows.states.write(moduleStream(layer, kind) + 1, row, values);
      if (row < this.#inspectedRows) outputs.push(values);
      for (const [path, input] of await captured.take()) {
        const width = input.length / rows.rows[row].length;
        if (!inputs.has(path)) inputs.set(path, new InputStatistics(width, this.#tokens));
        inputs.get(path)!.add(input);
        if (path === paths[0]) onInput?.(input);
      }
    };
    await rows.loaded(layer, kind, () => rows.run(layer, kind, { observer: captured.observer, onRow }));
    return { inputs, outputs };
  }

  /**
   * What the weights are multiplied by that read a module's input: its scales, which the norm at its entrance takes. Ones
   * where there is no such norm.
   */
  async #inputFactors(
    layer: number,
    module: ModuleDescription,
    readers: readonly ProjectionAt[],
    input: InputStatistics,
    outputs: readonly Float32Array[],
  ): Promise<Float64Array> {
    if (!module.norm) return new Float64Array(input.width).fill(1);
    const kind = module.kind === 'attention' ? 'attention' : 'mlp';
    return this.#foldIntoNorm(module, await this.#moduleScales(layer, kind, readers, input, outputs));
  }

  /** Scales for the inputs that `readers` share: those with which the module's output changes least. */
  async #moduleScales(
    layer: number,
    kind: ModuleKind,
    readers: readonly ProjectionAt[],
    input: InputStatistics,
    outputs: readonly Float32Array[],
  ): Promise<Float64Array> {
    const { rows, projections } = this;
    const sources = readers.map((at) => projections.source(at));
    const means = await weightMeans(sources, this.options.groupSize);
    const { scales } = await searchScales(input.means, means, async (tried) => {
      for (const source of sources)
        projections.replaced.set(source.name, mapRows(source, ...this.#rounded(source, tried)));
      let loss = 0;
      await rows.loaded(layer, kind, () =>
        rows.run(layer, kind, {
          count: outputs.length,
          onRow: async (after, row) => {
            const values = await this.#engine.readFloats(after);
            for (let i = 0; i < values.length; i++) loss += (values[i] - outputs[row][i]) ** 2;
          },
        }),
      );
      return loss;
    });
    for (const { name } of sources) projections.replaced.delete(name);
    return scales;
  }

  /** Scales for the inputs of one projection: those with which its own output changes least, on the sampled tokens. */
  async #linearScales(at: ProjectionAt, input: InputStatistics): Promise<Float64Array> {
    const source = this.projections.source(at);
    const means = await weightMeans([source], this.options.groupSize);
    const { scales } = await searchScales(input.means, means, (tried) =>
      this.#outputSize(mapRows(source, change(...this.#rounded(source, tried))), input.sample),
    );
    return scales;
  }

  /** W -> q(W s) / s */
  #rounded({ name }: WeightSource, scales: Float64Array): RowMap[] {
    return [scaleColumns(scales), snapped(this.options, name), scaleColumns(scales.map((scale) => 1 / scale))];
  }

  /** |X W^T|^2 for inputs X [tokens, in] and a weight [out, in]. */
  async #outputSize(source: WeightSource, sample: Float32Array): Promise<number> {
    const width = source.shape[1];
    const engine = this.#engine;
    using weight = await engine.pack(source, 'linear');
    const output = await engine.exclusive(() => {
      const x = engine.tensor(sample, [sample.length / width, width]);
      return engine.readFloats(engine.linear(x, [{ weight }])[0]);
    });
    return output.reduce((sum, value) => sum + value * value, 0);
  }

  #scaleColumnsOf(scales: Float64Array, sample: Float32Array): { maps: readonly RowMap[]; sample: Float32Array } {
    return { maps: [scaleColumns(scales)], sample: dividedColumns(sample, scales) };
  }

  /**
   * Divides a module's norm by scales. Returns what it was really divided by, after rounding to 16 bits: multiplied by
   * these, the weights after it give the same outputs as before.
   */
  async #foldIntoNorm({ weights }: ModuleDescription, scales: Float64Array): Promise<Float64Array> {
    const { projections } = this;
    const norm = theWeight(weights, 'norm');
    const source = weightSource(projections.stored, norm);
    const gain = await readAll(madeSource(source, norm));
    // Of gains that are stored less 1, that is what is rounded.
    const offset = norm.made === 'onePlus' ? 1 : 0;
    const stored = source.dtype === 'bfloat16' ? 'bfloat16' : 'float16';
    const divided = decodeFloats(
      encodeFloats(
        gain.map((value, i) => value / scales[i] - offset),
        stored,
      ),
      stored,
    );
    const factors = scales.map((_, i) => {
      const factor = gain[i] / (divided[i] + offset);
      if (factor > 0 && factor < Infinity) return factor;
      divided[i] = gain[i] - offset;
      return 1;
    });
    projections.replaced.set(
      source.name,
      arraySource(divided, source.shape, { name: source.name, dtype: source.dtype }),
    );
    return factors;
  }

  async #divideBias({ weights }: ModuleDescription, { weight }: ProjectionAt, divisors: Float64Array): Promise<void> {
    const bias = biasOf(weights, weight);
    if (!bias) return;
    const source = weightSource(this.projections.stored, bias);
    const values = (await readAll(source)).map((value, i) => value / divisors[i]);
    this.projections.replaced.set(
      source.name,
      arraySource(values, source.shape, { name: source.name, dtype: source.dtype }),
    );
  }

  /** Rounds a projection whose scaled form reads `sample`. */
  async #finish(at: ProjectionAt, maps: readonly RowMap[], sample: Float32Array, clip: boolean): Promise<void> {
    const { projections, options } = this;
    const { groupSize } = options;
    const scaled = mapRows(projections.source(at), ...maps);
    const [out, width] = scaled.shape;
    // Not searched where a group is a whole row: its Gram matrix would be as large as the weight.
    const cut =
      clip && groupSize !== -1
        ? mapRows(scaled, clipGroups(await clipLimits(scaled, sample, { ...options, groupSize }), groupSize))
        : scaled;
    const rows = await groupQuantized(cut, options).readInt4(0, out);
    const meant = await readAll(scaled);
    const off = dequantizeRows(rows, width, storedFormat(options)).map((value, i) => value - meant[i]);
    const difference = await this.#outputSize(arraySource(off, scaled.shape), sample);
    const whole = difference === 0 ? 1 : await this.#outputSize(arraySource(meant, scaled.shape), sample);
    projections.replace(at, rows, meant, difference / whole);
  }

  /**
   * The inputs of an expert's `down`, for the tokens that visit it; the inputs of the expert itself are added to `own`.
   */
  async #expertHidden(
    { activation }: MixtureDescription,
    [gateAt, upAt]: readonly ProjectionAt[],
    inputs: readonly Float32Array[],
    visits: Visits,
    own: InputStatistics,
  ): Promise<InputStatistics> {
    const { projections } = this;
    const engine = this.#engine;
    using gate = await engine.pack(projections.source(gateAt), 'linear');
    using up = await engine.pack(projections.source(upAt), 'linear');
    const hidden = new InputStatistics(gate.shape[0], visitCount(visits));
    for (const [row, places] of visits.entries()) {
      if (places.length === 0) continue;
      await engine.exclusive(async () => {
        const x = gatherRows(engine, inputs[row], places, own.width);
        own.add(await engine.readFloats(x));
        const [g, u] = engine.linear(x, [{ weight: gate }, { weight: up }]);
        hidden.add(await engine.readFloats(engine.gatedActivation(g, u, activation)));
      });
    }
    return hidden;
  }
}
