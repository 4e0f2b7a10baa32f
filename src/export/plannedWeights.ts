import { sizeOf, type Int4Source, type WeightDType, type WeightSource } from '../engine/index.js';
import { sliceSource } from '../checkpoint/index.js';
import {
  globalSpecs,
  moduleSpecs,
  storedInt4,
  tensorNames,
  weightSource,
  type ModelConfig,
  type ModuleKind,
  type Parameters,
  type WeightSpec,
} from '../models/index.js';
import type { ExportPlan, PlannedLayer } from './exportPlan.js';
import { constantSource } from './rowViews.js';

/** A weight as it goes into the result: `source` is [out, in], [experts, out, in] or a vector. */
export interface PlannedWeight {
  readonly spec: WeightSpec;
  /** In the result; undefined for the weights of no layer. */
  readonly layer?: number;
  readonly source: WeightSource;
  /** The same as the integers that the checkpoint stores, where it does. */
  readonly int4?: () => Promise<Int4Source | undefined>;
  /** Its names in the checkpoint, one or one an expert; of made weights none. */
  readonly tensors?: readonly string[];
}

/** Projections whose zeros make a module add nothing. */
const outputs = /^(attention\.o|mlp\.down|mlp\.experts\.down)\./;

/**
 * The weights of a plan, in the order of the layers. A zeroed module's other weights are the checkpoint's, or where it
 * does not hold them (LLM-Drop leaves them out) zeros, and ones for norms.
 */
export class PlannedWeights {
  /** Of the checkpoint's embedding: what made weights are stored as. */
  readonly dtype: WeightDType;

  constructor(
    private readonly parameters: Parameters,
    readonly config: ModelConfig,
    private readonly specs: readonly WeightSpec[],
    readonly plan: ExportPlan,
  ) {
    this.dtype = weightSource(parameters, globalSpecs(specs)[0]).dtype;
  }

  /** Embedding, final norm, head. */
  global(): PlannedWeight[] {
    return globalSpecs(this.specs).map((spec) => ({ spec, ...this.#stored(spec) }));
  }

  /** One module of a layer of the result. */
  module(kind: ModuleKind, layer: number): PlannedWeight[] {
    const planned = this.plan.layers[layer];
    if (planned[kind] === 'absent') return [];
    return moduleSpecs(this.specs, kind).map((spec) => ({ spec, layer, ...this.#weight(spec, kind, planned) }));
  }

  all(): PlannedWeight[] {
    return [
      ...this.global(),
      ...this.plan.layers.flatMap((_, layer) => [...this.module('attention', layer), ...this.module('mlp', layer)]),
    ];
  }

  #stored(spec: WeightSpec, layer?: number): Pick<PlannedWeight, 'source' | 'int4' | 'tensors'> {
    return {
      source: weightSource(this.parameters, spec, layer),
      int4: () => storedInt4(this.parameters, spec, layer),
      tensors: tensorNames(spec, layer),
    };
  }

  #weight(
    spec: WeightSpec,
    kind: ModuleKind,
    { original, ...treatment }: PlannedLayer,
  ): Pick<PlannedWeight, 'source' | 'int4' | 'tensors'> {
    if (treatment[kind] === 'whole') return this.#stored(spec, original);
    const isNorm = spec.path === `${kind}.norm`;
    const made = constantSource(tensorNames(spec, original)[0], spec.shape, isNorm ? 1 : 0, this.dtype);
    return outputs.test(spec.path) || !this.#holds(spec, original) ? { source: made } : this.#stored(spec, original);
  }

  #holds(spec: WeightSpec, layer: number): boolean {
    const fused = spec.fused?.name.replace('*', String(layer));
    return (
      tensorNames(spec, layer).every((name) => this.parameters.has(name)) ||
      (fused !== undefined && this.parameters.has(fused))
    );
  }
}

/** Under the names of a Hugging Face checkpoint: a stack of experts as one tensor an expert. */
export function namedSources({ spec, layer, source }: PlannedWeight): { name: string; source: WeightSource }[] {
  const names = tensorNames(spec, layer);
  if (names.length === 1 && source.shape.length < 3) return [{ name: names[0], source }];
  const rows = sizeOf(source.shape.slice(1, -1));
  return names.map((name, expert) => ({ name, source: sliceSource(source, expert * rows, (expert + 1) * rows, name) }));
}
