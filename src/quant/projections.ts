import { dequantizeRows, type Engine, type Int4Rows, type WeightSource } from '../engine/index.js';
import { tensorNames, weightSource, type ModuleKind, type Parameters, type WeightSpec } from '../models/index.js';
import { storedFormat, type GroupOptions } from './groupQuantizer.js';
import { int4Array, type QuantizedTensors } from './quantizedTensors.js';
import { readAll } from './rowMap.js';

/** One projection that was quantized, and how far off it is. */
export interface ProjectionResult {
  /** In the checkpoint. */
  readonly tensor: string;
  /** Original layer index; null for the head. */
  readonly layer: number | null;
  /** As the weight map names it: `attention.q`. */
  readonly path: string;
  /** |W - W'|^2 / |W|^2 */
  readonly weightError: number;
  /** |X (W - W')^T|^2 / |X W^T|^2 over calibration tokens; absent where the method looks at none. */
  readonly outputError?: number;
}

export interface ProjectionAt {
  readonly layer: number;
  readonly path: string;
  readonly expert?: number;
}

/** Projections of a module that are quantized: all matrices but routers. */
export const projectionPaths = (specs: readonly WeightSpec[], kind: ModuleKind): string[] =>
  specs
    .filter(
      ({ path, use }) =>
        path.startsWith(`${kind}.`) && (use === 'experts' || (use === 'linear' && !path.includes('router'))),
    )
    .map(({ path }) => path.replace(/\.weight$/, ''));

/** The projections of a model, as they are stored and as they become. */
export class Projections {
  readonly results: ProjectionResult[] = [];

  constructor(
    readonly specs: readonly WeightSpec[],
    /** As `separateExperts` names it. */
    readonly stored: Parameters,
    readonly replaced: QuantizedTensors,
    readonly options: GroupOptions,
    private readonly onResult: (result: ProjectionResult) => void = () => {},
  ) {}

  spec(path: string): WeightSpec {
    const found = this.specs.find((spec) => spec.path === path);
    if (!found) throw new Error(`the model has no ${path}`);
    return found;
  }

  tensor({ layer, path, expert = 0 }: ProjectionAt): string {
    return tensorNames(this.spec(`${path}.weight`), layer)[expert];
  }

  /** A projection's weight [out, in] as it is stored. */
  source(at: ProjectionAt): WeightSource {
    const spec = this.spec(`${at.path}.weight`);
    return spec.use === 'experts' ? this.stored.source(this.tensor(at)) : weightSource(this.stored, spec, at.layer);
  }

  /** Replaces a projection by int4 rows; `meant` [out, in] is what they stand for. */
  replace(at: ProjectionAt, rows: Int4Rows, meant: Float32Array, outputError?: number): void {
    const source = this.source(at);
    const format = storedFormat(this.options);
    this.replaced.set(source.name, int4Array(source.name, source.shape, format, rows));
    const weightError = squaredRatio(dequantizeRows(rows, source.shape[1], format), meant);
    this.report({ tensor: source.name, layer: at.layer, path: at.path, weightError, outputError });
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
