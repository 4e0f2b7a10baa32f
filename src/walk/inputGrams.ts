import { NotFiniteError, allFinite, type Accumulator, type Engine, type Tensor } from '../engine/index.js';
import type { Observer } from '../models/index.js';

/** X^T X of projections' inputs X [tokens, in], summed in float64 over all tokens that pass. */
export class InputGrams implements Disposable {
  readonly #sums = new Map<string, Accumulator>();
  readonly observer: Observer = {
    input: ({ paths, input }) => {
      for (const path of paths) if (this.paths.includes(path)) this.add(path, input);
    },
  };

  constructor(
    private readonly engine: Engine,
    /** Paths of the projections, as the weight map names them; of projections with the same input, one is enough. */
    private readonly paths: readonly string[] = [],
  ) {}

  add(path: string, input: Tensor): void {
    const width = input.shape[1];
    let sum = this.#sums.get(path);
    if (!sum) this.#sums.set(path, (sum = this.engine.accumulator(width * width)));
    this.engine.gram(input, sum);
  }

  /** [in, in], row-major; its sum is freed. */
  async take(path: string): Promise<Float64Array> {
    const sum = this.#sums.get(path);
    if (!sum) throw new Error(`nothing has entered ${path}`);
    const gram = await this.engine.readAccumulator(sum);
    sum.dispose();
    this.#sums.delete(path);
    if (!allFinite(gram)) throw new NotFiniteError(`the inputs of ${path} are not finite on the calibration rows`);
    return gram;
  }

  [Symbol.dispose](): void {
    for (const sum of this.#sums.values()) sum.dispose();
    this.#sums.clear();
  }
}
