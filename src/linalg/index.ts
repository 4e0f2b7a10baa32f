/** Linear algebra in float64, on plain arrays. */
export {
  NotPositiveDefinite,
  cholesky,
  choleskyInverse,
  choleskySolve,
  dampedCholesky,
  diagonalMean,
  invertLower,
  solveLower,
  type Damped,
} from './cholesky.js';
export { subtractProduct, transposed, viewOf, type MatrixView } from './subtractProduct.js';
