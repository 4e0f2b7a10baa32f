import { expect, it } from 'vitest';
import type { UnaryOperation } from '../../src/engine/expression.js';
import { float16ToFloat32, float32ToFloat16 } from '../../src/engine/halfFloat.js';
import { Machine } from '../../src/engine/wasm/runtime/machine.js';
import { halfFloat } from '../../src/engine/wasm/kernels/float16.js';
import { mapModule } from '../../src/engine/wasm/kernels/map.js';
import { algebra } from '../../src/engine/reference/algebra.js';
import { random } from '../support/backends.js';
import { unitRoundoff } from '../support/expectClose.js';
import { allowRelaxed } from '../support/relaxed.js';

const machine = new Machine();
const versions = allowRelaxed() ? (['strict', 'fused'] as const) : (['strict'] as const);

function mapped(version: 'strict' | 'fused', operation: UnaryOperation, values: Float32Array): Float32Array {
  using frame = machine.memory.frame();
  const at = frame.take(values.byteLength);
  machine.memory.floats(at, values.length).set(values);
  const { map } = machine.kernels(mapModule([operation, 'x'], 'none')[version]);
  map({ x: at, y: 0, target: at, rows: 1, width: values.length, yStride: 0 });
  return machine.memory.floats(at, values.length).slice();
}

it.each(versions)('exp, %s, is within 2 ulp of the exact value', (version) => {
  const x = Float32Array.from({ length: 400_001 }, (_, i) => -87.3 + (i * 175.6) / 400_000);
  const worst = mapped(version, 'exp', x).reduce(
    (most, y, i) => Math.max(most, Math.abs(y - Math.exp(x[i])) / Math.exp(x[i])),
    0,
  );
  // An ulp is at most 2^-23 of a number.
  expect(worst).toBeLessThan(2 * 2 ** -23);
});

it.each(versions)('exp, %s, knows its limits, in vectors and in tails', (version) => {
  const cases = [-Infinity, -1e4, -88, 0, 1e4, Infinity, NaN];
  const largest = Math.fround(Math.exp(88.376));
  const expected = [0, 0, 0, 1, largest, largest, NaN];
  const all = mapped(version, 'exp', Float32Array.from([...cases, ...cases, ...cases]));
  all.forEach((y, i) => {
    const want = expected[i % 7];
    if (want === largest) expect(Math.abs(y / largest - 1)).toBeLessThan(1e-5);
    else expect(y).toBe(want);
  });
});

/** An operation of one number by the kernels that expressions are compiled to. */
it.each(versions)('operations of expressions, %s, are within some roundings of the exact value', (version) => {
  const x = Float32Array.from({ length: 200_001 }, (_, i) => -10 + i / 10_000);
  const tiny = random(5, [1001], 1e-3);
  const worst = (operation: UnaryOperation, of: (x: number, exact: number) => number): number => {
    const all = Float32Array.from([...x, ...tiny]);
    const y = mapped(version, operation, all);
    return all.reduce((most, at, i) => {
      const exact = algebra[operation](at);
      const scale = of(at, exact);
      return scale === 0 ? most : Math.max(most, Math.abs(y[i] - exact) / Math.abs(scale) / unitRoundoff);
    }, 0);
  };
  // Relatively to the value, also where that is small.
  expect(worst('tanh', (_, exact) => exact)).toBeLessThan(8);
  expect(worst('sigmoid', (_, exact) => exact)).toBeLessThan(8);
  expect(worst('silu', (_, exact) => exact)).toBeLessThan(8);
  // Relatively to x, as torch's are: 1 + erf has no more digits; above 0 that is nearly relative to the value.
  expect(worst('gelu', (at) => at)).toBeLessThan(4);
  expect(worst('gelu', (at, exact) => (at > 0 ? exact : 0))).toBeLessThan(8);
  expect(worst('gelu_tanh', (at) => at)).toBeLessThan(4);
});

it.each(versions)('operations of expressions, %s, know their limits, in vectors and in tails', (version) => {
  const ends = [-Infinity, -1e30, -100, 0, 100, 1e30, Infinity, NaN];
  const limits: Partial<Record<UnaryOperation, readonly number[]>> = {
    tanh: [-1, -1, -1, 0, 1, 1, 1, NaN],
    gelu: [0, 0, 0, 0, 100, Math.fround(1e30), Infinity, NaN],
  };
  for (const [operation, expected] of Object.entries(limits)) {
    const y = mapped(version, operation as UnaryOperation, Float32Array.from([...ends, ...ends, ...ends.slice(-3)]));
    expect(Array.from(y, (value) => value + 0)).toEqual([...expected, ...expected, ...expected.slice(-3)]);
  }
});

it('widens every float16 exactly', () => {
  using frame = machine.memory.frame();
  const count = 65536;
  const [source, target] = [frame.take(2 * count), frame.take(4 * count)];
  machine.memory.bytes(source, 2 * count).set(new Uint8Array(Uint16Array.from({ length: count }, (_, i) => i).buffer));
  machine.kernels(halfFloat).widenFloat16({ source, target, count });
  machine.memory.floats(target, count).forEach((value, half) => {
    if (!Object.is(value, float16ToFloat32(half)))
      expect.fail(`${half}: ${value} instead of ${float16ToFloat32(half)}`);
  });
});

it('narrows to float16 as the tables do', () => {
  using frame = machine.memory.frame();
  const halves = Array.from({ length: 65536 }, (_, half) => float16ToFloat32(half)).filter((x) => !Number.isNaN(x));
  // Every half, the middles between neighbours, and numbers in between.
  const middles = halves.map((x, i) => (x + (halves[i + 1] ?? x)) / 2).filter(Number.isFinite);
  const values = Float32Array.from([
    ...halves,
    ...middles,
    ...random(3, [5000], 70000),
    ...random(4, [5000], 1e-4),
    NaN,
    65519.99,
    65520,
    1e30,
  ]);
  const [source, target] = [frame.take(values.byteLength), frame.take(2 * values.length)];
  machine.memory.floats(source, values.length).set(values);
  machine.kernels(halfFloat).narrowFloat16({ source, target, count: values.length });
  const got = new Uint16Array(machine.memory.bytes(target, 2 * values.length).slice().buffer);
  values.forEach((value, i) => {
    if (got[i] !== float32ToFloat16(value)) expect.fail(`${value}: ${got[i]} instead of ${float32ToFloat16(value)}`);
  });
});
