import { dequantizeRows, type Engine, type Int4Rows, type WeightSource } from '../engine/index.js';
import {
  isProjection,
  tensorName,
  tensorNames,
  theWeight,
  weightSource,
  type LayerDescription,
  type ModelDescription,
  type ModuleDescription,
  type ModuleKind,
  type Parameters,
  type WeightRole,
  type WeightSpec,
} from '../models/index.js';
import { storedFormat, type GroupOptions } from './groupQuantizer.js';
import { int4Array, type QuantizedTensors } from './quantizedTensors.js';
import { readAll } from './rowMap.js';

/** One projection that was quantized, and how far off it is. */
export interface ProjectionResult {
  /** In the checkpoint. */
  readonly tensor: string;
  /** Original layer index; null for the head. */
  readonly layer: number | null;
  /** Its place in the layer: `attention.q`. */
  readonly path: string;
  /** |W - W'|^2 / |W|^2 */
  readonly weightError: number;
  /** |X (W - W')^T|^2 / |X W^T|^2 over calibration tokens; absent where the method looks at none. */
  readonly outputError?: number;
}

/** One projection of a module, of a stack that of one expert. */
export interface ProjectionAt {
  readonly weight: WeightSpec;
  readonly expert?: number;
}

/** All projections of a module, expert by expert where it has such. */
export const projectionsOf = ({ weights }: ModuleDescription): ProjectionAt[] =>
  weights
    .filter(isProjection)
    .flatMap((weight): ProjectionAt[] =>
      weight.use === 'experts' ? tensorNames(weight).map((_, expert) => ({ weight, expert })) : [{ weight }],
    );

/** The projections of a model, before and after they are quantized. */
export class Projections {
  readonly results: ProjectionResult[] = [];

  constructor(
    private readonly description: ModelDescription,
    /** The weights as they are stored, under the names of `separateExperts`. */
    readonly stored: Parameters,
    readonly replaced: QuantizedTensors,
    readonly options: GroupOptions,
    private readonly onResult: (result: ProjectionResult) => void = () => {},
  ) {}

  module<K extends ModuleKind>(layer: number, kind: K): LayerDescription[K] {
    return this.description.layers[layer][kind];
  }

  /** The projections of these roles among a module's weights, or a shared expert's, in their order; of a stack those of one expert. */
  at(module: Pick<ModuleDescription, 'weights'>, roles: readonly WeightRole[], expert?: number): ProjectionAt[] {
    return roles.map((role) => ({ weight: theWeight(module.weights, role), expert }));
  }

  tensor({ weight, expert }: ProjectionAt): string {
    return tensorName(weight, expert);
  }

  /** A projection's weight [out, in] as it is stored. */
  source(at: ProjectionAt): WeightSource {
    const { weight } = at;
    return weight.use === 'experts' ? this.stored.source(this.tensor(at)) : weightSource(this.stored, weight);
  }

  /** Replaces a projection by int4 rows; `meant` [out, in] is what they stand for. */
  replace(at: ProjectionAt, rows: Int4Rows, meant: Float32Array, outputError?: number): void {
    const source = this.source(at);
    const format = storedFormat(this.options);
    this.replaced.set(source.name, int4Array(source.name, source.shape, format, rows));
    const weightError = squaredRatio(dequantizeRows(rows, source.shape[1], format), meant);
    const { layer = null, projection } = at.weight;
    this.report({ tensor: source.name, layer, path: projection!, weightError, outputError });
  }

  report(result: ProjectionResult): void {
    this.results.push(result);
    this.onResult(result);
  }

  read(at: ProjectionAt): Promise<Float32Array> {
    return readAll(this.source(at));
  }
}

/** |a - b|^2 / |b|^2; 0 where both are zeros. */
function squaredRatio(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return difference === 0 ? 0 : difference / size;
}

/** Rows of a weight that are multiplied at a time. */
const rowsAtOnce = 1024;

/**
 * |X (W - W')^T|^2 / |X W^T|^2 = tr(D G D^T) / tr(W G W^T) with D = W - W', from G = X^T X [in, in]. The products are the
 * engine's, in float32: enough for a figure to report.
 */
export const outputError = (
  engine: Engine,
  weight: Float32Array,
  rounded: Float32Array,
  gram: Float64Array,
): Promise<number> =>
  engine.exclusive(async () => {
    const width = Math.sqrt(gram.length);
    const g = engine.tensor(Float32Array.from(gram), [width, width]);
    const energy = async (values: Float32Array): Promise<number> => {
      using _chunk = engine.scope();
      const rows = engine.tensor(values, [values.length / width, width]);
      const product = await engine.readFloats(engine.matmul(rows, g));
      let sum = 0;
      for (let i = 0; i < values.length; i++) sum += values[i] * product[i];
      return sum;
    };
    let [off, whole] = [0, 0];
    for (let at = 0; at < weight.length; at += rowsAtOnce * width) {
      const part = weight.subarray(at, at + rowsAtOnce * width);
      whole += await energy(part);
      off += await energy(part.map((value, i) => value - rounded[at + i]));
    }
    return off === 0 ? 0 : off / whole;
  });
