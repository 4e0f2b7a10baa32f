import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dequantizeRows } from '../../../src/engine/index.js';
import { fitGrid, gptq, roundToGrid, storedFormat, type GptqOptions } from '../../../src/quant/index.js';
import { random } from '../../support/backends.js';

/** X^T X of correlated inputs, as a model's are: few directions carry most. */
function gramOf(seed: number, tokens: number, width: number): Float64Array {
  const x = random(seed, [tokens, width]);
  const shared = random(seed + 1, [tokens]);
  const loads = random(seed + 2, [width], 3);
  const gram = new Float64Array(width * width);
  for (let t = 0; t < tokens; t++) {
    const row = Array.from({ length: width }, (_, i) => x[t * width + i] + shared[t] * loads[i]);
    for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) gram[i * width + j] += row[i] * row[j];
  }
  return gram;
}

/** tr(D G D^T) */
function error(weight: Float32Array, rounded: Float32Array, gram: Float64Array): number {
  const width = Math.sqrt(gram.length);
  let sum = 0;
  for (let row = 0; row < weight.length; row += width)
    for (let i = 0; i < width; i++) {
      const d = weight[row + i] - rounded[row + i];
      for (let j = 0; j < width; j++) sum += d * gram[i * width + j] * (weight[row + j] - rounded[row + j]);
    }
  return sum;
}

const options = fc.record({
  groupSize: fc.constantFrom(32, 64, 128, -1),
  symmetric: fc.boolean(),
  actOrder: fc.boolean(),
}) as fc.Arbitrary<GptqOptions>;
const shape = fc.record({
  rows: fc.integer({ min: 1, max: 6 }),
  width: fc.integer({ min: 1, max: 300 }),
  seed: fc.integer({ min: 1, max: 2 ** 30 }),
});

const rtn = (weight: Float32Array, width: number, o: GptqOptions): Float32Array =>
  dequantizeRows(roundToGrid(weight, width, fitGrid(weight, width, o, 'w')), width, storedFormat(o));
const run = (weight: Float32Array, width: number, gram: Float64Array, o: GptqOptions): Float32Array =>
  dequantizeRows(gptq(weight, width, gram, o, 'w'), width, storedFormat(o));

describe('gptq', () => {
  it('is rounding to nearest where inputs are not correlated', () =>
    fc.assert(
      fc.property(shape, options, ({ rows, width, seed }, o) => {
        const weight = random(seed, [rows, width]);
        const diagonal = random(seed + 1, [width]).map(Math.abs);
        const gram = new Float64Array(width * width);
        diagonal.forEach((value, i) => (gram[i * (width + 1)] = value));
        expect(run(weight, width, gram, o)).toEqual(rtn(weight, width, o));
      }),
      { numRuns: 60 },
    ));

  it('uses the grid of the weights as they were, whatever the order of columns', () =>
    fc.assert(
      fc.property(shape, options, ({ rows, width, seed }, o) => {
        const weight = random(seed, [rows, width]);
        const { scales, zeros } = gptq(weight, width, gramOf(seed, 2 * width, width), o, 'w');
        const grid = fitGrid(weight, width, o, 'w');
        expect(scales).toEqual(grid.scales);
        expect(zeros).toEqual(o.symmetric ? undefined : grid.zeros);
      }),
      { numRuns: 20 },
    ));

  it('errs less than rounding to nearest where they are, over a matrix', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 30 }), options, (seed, o) => {
        const [rows, width] = [16, 160]; // two blocks of columns
        const weight = random(seed, [rows, width]);
        const gram = gramOf(seed + 7, 400, width);
        // Half is what a shared direction brings here; 0.7 leaves room for the draw.
        expect(error(weight, run(weight, width, gram, o), gram)).toBeLessThan(
          0.7 * error(weight, rtn(weight, width, o), gram),
        );
      }),
      { numRuns: 10 },
    ));

  it('equals column by column as the paper writes it, across blocks', () => {
    const [rows, width] = [3, 140];
    const weight = random(11, [rows, width]);
    const gram = gramOf(12, 300, width);
    const o: GptqOptions = { groupSize: 32, symmetric: true, actOrder: false, damping: 0.01 };
    expect(run(weight, width, gram, o)).toEqual(paper(weight, width, gram, o));
  });

  it('an input that never comes is rounded to nearest and changes nothing', () => {
    const [rows, width, dead] = [4, 40, 13];
    const weight = random(21, [rows, width]);
    const gram = gramOf(22, 90, width);
    for (let i = 0; i < width; i++) gram[dead * width + i] = gram[i * width + dead] = 0;
    const o: GptqOptions = { groupSize: 32, symmetric: true };
    const rounded = run(weight, width, gram, o);
    const nearest = rtn(weight, width, o);
    for (let row = 0; row < rows; row++) expect(rounded[row * width + dead]).toBe(nearest[row * width + dead]);
  });

  it('damps more where fewer tokens than inputs were seen and none was asked for, and says so', () => {
    const width = 64;
    const gram = gramOf(31, 5, width);
    const { damping } = gptq(random(32, [2, width]), width, gram, { groupSize: 32, symmetric: true, damping: 0 }, 'w');
    expect(damping).toBeGreaterThanOrEqual(0.01);
  });

  it('inputs that are not finite are refused by name', () => {
    const gram = new Float64Array(32 * 32).fill(NaN);
    const of = () => gptq(random(1, [1, 32]), 32, gram, { groupSize: 32, symmetric: true }, 'layers.2.up');
    expect(of).toThrow(/inputs of layers\.2\.up cannot be used to quantize it/);
  });
});

/** The paper's optimal updates without blocks or Cholesky: after each column, its row of the inverse is eliminated. */
function paper(weight: Float32Array, width: number, gram: Float64Array, o: GptqOptions): Float32Array {
  const left = Float64Array.from(weight);
  const rows = weight.length / width;
  const grid = fitGrid(weight, width, o, 'w');
  const mean = Array.from({ length: width }, (_, i) => gram[i * (width + 1)]).reduce((a, b) => a + b, 0) / width;
  let inverse = invert(
    gram.map((value, at) => value + (at % (width + 1) === 0 ? o.damping! * mean : 0)),
    width,
  );
  const out = new Float32Array(weight.length);
  for (let i = 0; i < width; i++) {
    for (let row = 0; row < rows; row++) {
      const at = row * grid.groups + Math.floor(i / grid.format.groupSize);
      const [step, zero, value] = [grid.steps[at], grid.zeros[at], left[row * width + i]];
      const q = Math.max(0, Math.min(15, Math.floor(value / step + 0.5) + zero));
      out[row * width + i] = step * (q - zero);
      const error = (value - step * (q - zero)) / inverse[i * (width + 1)];
      for (let j = i; j < width; j++) left[row * width + j] -= error * inverse[i * width + j];
    }
    const pivot = inverse[i * (width + 1)];
    const before = inverse;
    inverse = before.map(
      (value, at) => value - (before[Math.floor(at / width) * width + i] * before[i * width + (at % width)]) / pivot,
    );
  }
  return out;
}

/** Gauss-Jordan. */
function invert(a: Float64Array, n: number): Float64Array {
  const m = a.slice();
  const x = Float64Array.from({ length: n * n }, (_, at) => +(at % (n + 1) === 0));
  for (let i = 0; i < n; i++) {
    const pivot = m[i * n + i];
    for (let j = 0; j < n; j++) {
      m[i * n + j] /= pivot;
      x[i * n + j] /= pivot;
    }
    for (let r = 0; r < n; r++) {
      const factor = m[r * n + i];
      if (r === i || factor === 0) continue;
      for (let j = 0; j < n; j++) {
        m[r * n + j] -= factor * m[i * n + j];
        x[r * n + j] -= factor * x[i * n + j];
      }
    }
  }
  return x;
}
