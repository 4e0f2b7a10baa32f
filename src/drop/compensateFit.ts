import { dampedCholesky, choleskySolve, diagonalMean } from '../linalg/index.js';
import { UserError, type Accumulator, type Engine, type Tensor } from '../engine/index.js';

/** A refit projection, and what it made of the rows that it was fitted on. */
export interface FitResult {
  /** W + D, [out, in] row-major. */
  readonly weight: Float32Array;
  /** What was added to the diagonal of Z'Z. */
  readonly lambda: number;
  /** Sum over tokens of |R|^2 with W, and with W + D. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/**
 * Least squares for an output projection W: the D that minimises the sum over tokens of |R - D z|^2 + lambda |D|^2,
 * which is R'Z (Z'Z + lambda I)^-1, with lambda = alpha * mean diag(Z'Z). z is the input of W, R what is missing in the
 * stream after it. Only Z'Z and Z'R are kept, summed in float64 where the backend has it: memory does not grow with the
 * rows.
 */
export class ProjectionFit implements Disposable {
  readonly #gram: Accumulator;
  readonly #cross: Accumulator;
  #squares = 0;

  constructor(
    private readonly engine: Engine,
    private readonly inputs: number,
    private readonly outputs: number,
  ) {
    this.#gram = engine.accumulator(inputs * inputs);
    this.#cross = engine.accumulator(inputs * outputs);
  }

  /** Takes in tokens: z [T, in], and residuals R [T, out]. */
  async add(z: Tensor, residual: Tensor): Promise<void> {
    using _scope = this.engine.scope();
    this.engine.gram(z, this.#gram);
    this.engine.crossGram(z, residual, this.#cross);
    const squares = await this.engine.readFloats(this.engine.sum(this.engine.multiply(residual, residual)));
    for (const square of squares) this.#squares += square;
  }

  async solve(weight: Float32Array, alpha: number, name: string): Promise<FitResult> {
    const { inputs: n, outputs } = this;
    const [gram, cross] = [
      await this.engine.readAccumulator(this.#gram),
      await this.engine.readAccumulator(this.#cross),
    ];
    const mean = diagonalMean(gram, n);
    if (!Number.isFinite(mean) || !Number.isFinite(this.#squares))
      throw new UserError(`${name}: what reaches it on the calibration rows is not finite, so it cannot be refit`);
    // All inputs are zero: any D gives the same.
    if (mean === 0) return { weight: weight.slice(), lambda: 0, errorBefore: this.#squares, errorAfter: this.#squares };
    const { factor, damping } = dampedCholesky(gram, n, alpha);
    const solution = cross.slice(); // D', [in, out]
    choleskySolve(factor, n, solution, outputs);
    const lambda = damping * mean;
    // |R - D z|^2 summed is |R|^2 - tr(D Z'R) - lambda |D|^2, since (Z'Z + lambda I) D' = Z'R.
    const [explained, size] = [dot(solution, cross), dot(solution, solution)];
    return {
      weight: weight.map((w, i) => w + solution[(i % n) * outputs + Math.floor(i / n)]),
      lambda,
      errorBefore: this.#squares,
      errorAfter: Math.max(0, this.#squares - explained - lambda * size),
    };
  }

  [Symbol.dispose](): void {
    this.#gram.dispose();
    this.#cross.dispose();
  }
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);
