import { sizeOf, type Int4Source, type Int8Source, type WeightDType, type WeightSource } from '../engine/index.js';
import { constantSource, sliceSource } from '../checkpoint/index.js';
import {
  globalWeights,
  holdsWeight,
  isStoredInt4,
  matrixRole,
  storedInt4,
  storedInt8,
  storedNames,
  tensorName,
  tensorNames,
  weightSource,
  type ModelDescription,
  type ModuleKind,
  type Parameters,
  type WeightSpec,
} from '../models/index.js';
import type { ExportPlan, Treatment } from './exportPlan.js';

/** A weight as it goes into the result: `source` is [out, in], [experts, out, in] or a vector. */
export interface PlannedWeight {
  /** Its layer is that of the result. */
  readonly spec: WeightSpec;
  readonly source: WeightSource;
  /** The integers that the checkpoint stores for it, if it does. */
  readonly int4?: () => Promise<Int4Source | undefined>;
  /** Those of 8 bits, if it has none of 4. */
  readonly int8?: Int8Source;
  /** Its names in the checkpoint, for experts one each; undefined for weights that are made up. */
  readonly tensors?: readonly string[];
  /** Whether the checkpoint stores all of it as integers. */
  readonly packed?: boolean;
  /** Of experts that the checkpoint stores in several types: each on its own. */
  readonly parts?: readonly WeightSource[];
}

type Stored = Omit<PlannedWeight, 'spec'>;

/**
 * The weights of a plan, in the order of the layers. A zeroed module's other weights are the checkpoint's, or where it
 * does not hold them (LLM-Drop leaves them out) zeros, and ones for norms.
 */
export class PlannedWeights {
  /** Type of the checkpoint's embedding, which weights that are made up get too. */
  readonly dtype: WeightDType;

  constructor(
    private readonly parameters: Parameters,
    readonly description: ModelDescription,
    readonly plan: ExportPlan,
  ) {
    this.dtype = weightSource(parameters, description.embedding.weight).dtype;
  }

  /** Embedding, final norm, head. */
  global(): PlannedWeight[] {
    return globalWeights(this.description).map((spec) => ({ spec, ...this.#stored(spec) }));
  }

  /** One module of a layer of the result. */
  module(kind: ModuleKind, layer: number): PlannedWeight[] {
    const planned = this.plan.layers[layer];
    if (planned[kind] === 'absent') return [];
    const { weights } = this.description.layers[planned.original][kind];
    return weights.map((spec) => ({ spec: { ...spec, layer }, ...this.#weight(spec, planned[kind]) }));
  }

  all(): PlannedWeight[] {
    return [
      ...this.global(),
      ...this.plan.layers.flatMap((_, layer) => [...this.module('attention', layer), ...this.module('mlp', layer)]),
    ];
  }

  #stored(spec: WeightSpec): Stored {
    const packed = isStoredInt4(this.parameters, spec);
    return {
      source: weightSource(this.parameters, spec),
      int4: () => storedInt4(this.parameters, spec),
      int8: packed ? undefined : storedInt8(this.parameters, spec),
      tensors: storedNames(this.parameters, spec),
      packed,
      parts: spec.use === 'experts' && !packed ? this.#parts(spec) : undefined,
    };
  }

  #parts(spec: WeightSpec): WeightSource[] | undefined {
    const names = tensorNames(spec);
    if (!this.parameters.has(names[0])) return undefined;
    const sources = names.map((name) => this.parameters.source(name));
    const packed = names.some((name) => this.parameters.int4?.(name));
    return packed || sources.some(({ dtype }) => dtype !== sources[0].dtype) ? sources : undefined;
  }

  /** With all zeros written to the stream, a module adds nothing. */
  #weight(spec: WeightSpec, treatment: Treatment): Stored {
    if (treatment === 'whole') return this.#stored(spec);
    const isOutput = matrixRole(spec) === 'output';
    if (!isOutput && holdsWeight(this.parameters, spec)) return this.#stored(spec);
    return { source: constantSource(tensorName(spec), spec.shape, neutralValue(spec), this.dtype) };
  }
}

/** What stands for a weight that is not there: a norm of ones, or zeros. */
export const neutralValue = ({ use, role }: WeightSpec): number => (use === 'vector' && role !== 'bias' ? 1 : 0);

/** Under the names of a Hugging Face checkpoint: a stack of experts as one tensor an expert. */
export function namedSources({ spec, source, parts }: PlannedWeight): { name: string; source: WeightSource }[] {
  const names = tensorNames(spec);
  if (names.length === 1 && source.shape.length < 3) return [{ name: names[0], source }];
  const rows = sizeOf(source.shape.slice(1, -1));
  return names.map((name, expert) => ({
    name,
    source: parts ? { ...parts[expert], name } : sliceSource(source, expert * rows, (expert + 1) * rows, name),
  }));
}
