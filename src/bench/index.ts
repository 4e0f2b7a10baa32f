/** Prefill and decoding speed in llama-bench's terms, variants in turns, beside what dropping can give. */
export type { BenchVariant } from './benchCell.js';
export { benchmark, type BenchOptions } from './benchmark.js';
export type { BenchReport, BenchResult, BenchVariantFacts } from './benchReport.js';
export { benchCsv, benchMarkdown, comparisonMarkdown } from './benchTables.js';
export { parseTest, testName, testsOf, type BenchTest, type TestSizes } from './benchTest.js';
export { compareResults, parseBenchReport, type Comparable, type Comparison } from './compareResults.js';
export {
  dropBound,
  leastSeconds,
  weightBytes,
  workOf,
  type DropBound,
  type WeightBytes,
  type Work,
} from './dropBound.js';
export { benchMachine, type BenchMachine } from './benchMachine.js';
export { filledCache, measureTest, type MeasureOptions } from './measureTest.js';
export { RateMeter, type Rates } from './rates.js';
export { median, statistics, type Statistics } from './statistics.js';
